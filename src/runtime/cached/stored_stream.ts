/**
 * A file out of a store. No byte is handed on before its chunk has the size and digest of the manifest; a chunk that
 * has not is fetched again and put back.
 *
 * @module
 */
import { SourceError } from "../../error.ts";
import type { ByteStream, SourceFile } from "../../gguf/source.ts";
import { digestOf, type EntryNames, type Manifest } from "./manifest.ts";
import { CHUNK_BYTES, type ModelStore } from "./model_store.ts";

/** What a stream out of a store needs to know. */
export interface StoredEntry {
  readonly store: ModelStore;
  readonly names: EntryNames;
  readonly manifest: Manifest;
  /** Where a chunk that is damaged comes from. */
  readonly remote: SourceFile;
  /** Told the bytes of each chunk, and where they came from. */
  readonly count: (origin: "store" | "network", bytes: number) => void;
}

export class StoredStream implements ByteStream {
  readonly #entry: StoredEntry;
  readonly #abort = new AbortController();
  #offset: number;
  #chunk: Uint8Array<ArrayBuffer> | undefined;

  constructor(entry: StoredEntry, offset: number) {
    this.#entry = entry;
    this.#offset = offset;
  }

  get size(): number {
    return this.#entry.manifest.size;
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#offset >= this.size) return undefined;
    const index = Math.floor(this.#offset / CHUNK_BYTES);
    const start = index * CHUNK_BYTES;
    this.#chunk ??= new Uint8Array(Math.min(CHUNK_BYTES, this.size));
    const bytes = this.#chunk.subarray(0, Math.min(CHUNK_BYTES, this.size - start));
    const origin = await this.#load(index, bytes) ? "store" : "network";
    if (origin === "network") await this.#fetch(index, bytes);
    this.#entry.count(origin, bytes.length);
    const piece = bytes.subarray(this.#offset - start);
    this.#offset += piece.length;
    return piece;
  }

  close(): void {
    this.#abort.abort();
    this.#chunk = undefined;
  }

  /** @returns Whether `bytes` are now those of the chunk. */
  async #load(index: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    const { store, names, manifest } = this.#entry;
    try {
      const value = await store.get(names.chunk(index));
      if (value === undefined || !await copy(value, bytes)) return false;
    } catch {
      // as good as a chunk that is not there
      return false;
    }
    return await digestOf(bytes) === manifest.sha256[index];
  }

  async #fetch(index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { store, names, manifest, remote } = this.#entry;
    const stream = await remote.open(index * CHUNK_BYTES, this.#abort.signal);
    try {
      for (let at = 0; at < bytes.length;) {
        const piece = await stream.read();
        if (piece === undefined) break;
        bytes.set(piece.subarray(0, bytes.length - at), at);
        at += piece.length;
      }
    } finally {
      stream.close();
    }
    if (await digestOf(bytes) !== manifest.sha256[index]) {
      // there is a new version: the next load takes it, whole
      await store.delete(names.manifest).catch(() => {});
      throw new SourceError("what is stored of it is damaged, and the file has changed since", remote.name);
    }
    await store.put(names.chunk(index), bytes).catch(() => {});
  }
}

/** @returns Whether `value` has just the size of `bytes`. */
async function copy(value: ReadableStream<Uint8Array> | Uint8Array, bytes: Uint8Array): Promise<boolean> {
  if (value instanceof Uint8Array) {
    if (value.length !== bytes.length) return false;
    bytes.set(value);
    return true;
  }
  let at = 0;
  for await (const piece of value) {
    if (at + piece.length > bytes.length) return false;
    bytes.set(piece, at);
    at += piece.length;
  }
  return at === bytes.length;
}
