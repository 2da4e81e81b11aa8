/**
 * Fills an entry with a file that passes by, chunk by chunk; declares it whole at the end.
 *
 *   put(piece, offset)   collect what has not been seen; a full chunk -> digest, store
 *   rewind()             forget the chunk begun: the reader left, and comes back at or after `next`
 *   seal(size)           last chunk, then the manifest
 *
 * @module
 */
import { reason } from "../range_file.ts";
import { digestOf, type EntryNames, writeManifest } from "./manifest.ts";
import { CHUNK_BYTES, type ModelStore } from "./model_store.ts";

/** One file on its way into a store. A store that fails ends the filling and nothing else. */
export class Filler {
  readonly #store: ModelStore;
  readonly #names: EntryNames;
  readonly #digests: string[] = [];
  #chunk: Uint8Array<ArrayBuffer> | undefined;
  /** Bytes of the chunk that have come. */
  #length = 0;
  #problem: string | undefined;
  #whole = false;

  constructor(store: ModelStore, names: EntryNames) {
    this.#store = store;
    this.#names = names;
  }

  /** Where the next byte that is missing lies in the file. */
  get next(): number {
    return this.#digests.length * CHUNK_BYTES + this.#length;
  }

  /** Whether the entry is whole. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Why the entry will not be whole. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Takes bytes of the file; those seen before are passed over. */
  async put(piece: Uint8Array, offset: number): Promise<void> {
    for (let at = this.next - offset; this.#problem === undefined && at < piece.length;) {
      this.#chunk ??= new Uint8Array(CHUNK_BYTES);
      const part = piece.subarray(at, at + CHUNK_BYTES - this.#length);
      this.#chunk.set(part, this.#length);
      this.#length += part.length;
      at += part.length;
      if (this.#length === CHUNK_BYTES) await this.#flush();
    }
  }

  /** Forgets the chunk begun, and gives its memory back. */
  rewind(): void {
    this.#chunk = undefined;
    this.#length = 0;
  }

  /** The file has ended. @param size Bytes that it should have; without knowing them, nothing says that it is whole. */
  async seal(size: number | undefined): Promise<void> {
    if (this.#whole) return;
    if (this.#length > 0) await this.#flush();
    await this.#try(async () => {
      if (size === undefined) throw new Error("the server does not tell the file's size");
      await writeManifest(this.#store, this.#names, { version: 1, size, sha256: this.#digests });
    });
    this.rewind();
    this.#whole = this.#problem === undefined;
  }

  async #flush(): Promise<void> {
    const bytes = this.#chunk!.subarray(0, this.#length);
    await this.#try(async () => {
      // before the first chunk changes, what is there stops being an entry
      if (this.#digests.length === 0) await this.#store.delete(this.#names.manifest);
      const digest = await digestOf(bytes);
      await this.#store.put(this.#names.chunk(this.#digests.length), bytes);
      this.#digests.push(digest);
    });
    this.#length = 0;
  }

  async #try(work: () => Promise<void>): Promise<void> {
    if (this.#problem !== undefined) return;
    try {
      await work();
    } catch (cause) {
      this.#problem = reason(cause);
      this.rewind();
    }
  }
}
