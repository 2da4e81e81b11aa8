/**
 * A file whose bytes are counted, and where asked for digested, as they pass.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import { SourceError } from "../error.ts";
import type { ByteStream, SourceFile } from "../gguf/source.ts";

/** What a file must be. */
export interface Expected {
  /** Bytes. */
  readonly size?: number;
  /** SHA-256 in hexadecimal. */
  readonly sha256?: string;
}

/**
 * The same file, refusing to end early, to go on past its size, to be of another size than expected or to have another
 * digest. Bytes that are read again after a pause are digested once.
 */
export function checkedFile(file: SourceFile, expected: Expected): SourceFile {
  const digest = expected.sha256 === undefined ? undefined : new Digest(file.name, expected.sha256);
  return {
    name: file.name,
    seekable: file.seekable,
    verified: expected.size !== undefined || digest !== undefined,
    async open(offset, signal) {
      const stream = await file.open(offset, signal);
      if (expected.size === undefined || stream.size === undefined || stream.size === expected.size) {
        return new CheckedStream(file.name, stream, offset, expected.size ?? stream.size, digest);
      }
      stream.close();
      throw new SourceError(`the file has ${stream.size} bytes, wanted ${expected.size}`, file.name);
    },
  };
}

class CheckedStream implements ByteStream {
  constructor(
    private readonly name: string,
    private readonly stream: ByteStream,
    private offset: number,
    readonly size: number | undefined,
    private readonly digest: Digest | undefined,
  ) {}

  async read(): Promise<Uint8Array | undefined> {
    const piece = await this.stream.read();
    const end = this.offset + (piece?.length ?? 0);
    if (end > (this.size ?? Infinity)) throw new SourceError(`more than ${this.size} bytes came`, this.name);
    if (piece === undefined) {
      if (end < (this.size ?? 0)) {
        throw new SourceError(`it ends after ${end} of ${this.size} bytes`, this.name);
      }
      this.digest?.check();
      return undefined;
    }
    this.digest?.update(piece, this.offset);
    this.offset = end;
    return piece;
  }

  close(): void {
    this.stream.close();
  }
}

class Digest {
  readonly #hash = sha256.create();
  #digested = 0;

  constructor(private readonly name: string, private readonly wanted: string) {}

  update(piece: Uint8Array, offset: number): void {
    const fresh = piece.subarray(Math.max(0, this.#digested - offset));
    this.#hash.update(fresh);
    this.#digested += fresh.length;
  }

  check(): void {
    const found = bytesToHex(this.#hash.digest());
    if (found === this.wanted.toLowerCase()) return;
    throw new SourceError(`the SHA-256 is ${found}, wanted ${this.wanted}`, this.name);
  }
}
