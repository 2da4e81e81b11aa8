/**
 * Files that answer "these bytes, please": buffers, blobs, handles, and object stores such as R2.
 *
 * @module
 */
import { SourceError } from "../error.ts";
import type { ByteStream, SourceFile } from "../gguf/source.ts";

/** Random access to one file. */
export interface RangeReader {
  /** Bytes of the file; without it, the first empty answer is its end. */
  readonly size?: number;
  /** For messages and progress. */
  readonly name?: string;
  /**
   * Up to `length` bytes from `offset` on, none past the end. They need to be valid until the next call only.
   * Should reject when they can't be had.
   */
  read(offset: number, length: number): Promise<Uint8Array | ArrayBuffer> | Uint8Array | ArrayBuffer;
}

/** A reader that holds something to be given back. */
export interface RangeHandle extends RangeReader {
  close(): void;
}

/** Bytes asked for at once: few enough to hold one beside a model, many enough to make few requests. */
const PIECE_BYTES = 2 ** 20;

/** A file over random access. `open` is called for every stream. */
export function rangeFile(name: string, open: () => Promise<RangeHandle> | RangeHandle): SourceFile {
  return {
    name,
    seekable: true,
    verified: false,
    async open(offset) {
      try {
        return new RangeStream(name, await open(), offset);
      } catch (cause) {
        throw new SourceError(`can't be opened: ${reason(cause)}`, name, { cause });
      }
    },
  };
}

class RangeStream implements ByteStream {
  readonly size: number | undefined;
  readonly #name: string;
  readonly #handle: RangeHandle;
  #offset: number;

  constructor(name: string, handle: RangeHandle, offset: number) {
    this.size = handle.size;
    this.#name = name;
    this.#handle = handle;
    this.#offset = offset;
  }

  async read(): Promise<Uint8Array | undefined> {
    const length = Math.min(PIECE_BYTES, (this.size ?? Infinity) - this.#offset);
    if (length <= 0) return undefined;
    const piece = await this.#read(length);
    if (piece.length > length) {
      throw new SourceError(`read() gave ${piece.length} bytes, wanted at most ${length}`, this.#name);
    }
    this.#offset += piece.length;
    return piece.length === 0 ? undefined : piece;
  }

  async #read(length: number): Promise<Uint8Array> {
    try {
      const piece = await this.#handle.read(this.#offset, length);
      return piece instanceof Uint8Array ? piece : new Uint8Array(piece);
    } catch (cause) {
      throw new SourceError(`can't be read at byte ${this.#offset}: ${reason(cause)}`, this.#name, { cause });
    }
  }

  close(): void {
    this.#handle.close();
  }
}

/** What an unknown error says. */
export function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
