/**
 * One file that comes from a store where all of it is there, and otherwise from the network by way of the store.
 *
 * @module
 */
import type { ByteStream, SourceFile } from "../../gguf/source.ts";
import { Filler } from "./filler.ts";
import { EntryNames, readManifest } from "./manifest.ts";
import type { ModelStore } from "./model_store.ts";
import { StoredStream } from "./stored_stream.ts";

/** Where the bytes of a file came from. */
export interface CachedFileReport {
  /** Its URL. */
  readonly name: string;
  /** Bytes out of the store. */
  readonly fromStore: number;
  /** Bytes out of the network. */
  readonly fromNetwork: number;
  /** Whether all of it is in the store now. */
  readonly stored: boolean;
  /** What the store said when it did not take the file. */
  readonly problem: string | undefined;
}

export class CachedFile implements SourceFile {
  readonly seekable = true;
  /** Read to its very end: an entry that lacks its last bytes is none. */
  readonly verified = true;
  readonly #store: ModelStore;
  readonly #names: EntryNames;
  readonly #remote: SourceFile;
  #filler: Filler | undefined;
  #found = false;
  #bytes = { store: 0, network: 0 };

  constructor(store: ModelStore, url: URL, remote: SourceFile) {
    this.#store = store;
    this.#names = new EntryNames(url);
    this.#remote = remote;
  }

  get name(): string {
    return this.#remote.name;
  }

  get report(): CachedFileReport {
    return {
      name: this.name,
      fromStore: this.#bytes.store,
      fromNetwork: this.#bytes.network,
      stored: this.#found || (this.#filler?.whole ?? false),
      problem: this.#filler?.problem,
    };
  }

  async open(offset: number, signal?: AbortSignal): Promise<ByteStream> {
    if (this.#filler === undefined) {
      const manifest = await readManifest(this.#store, this.#names);
      this.#found = manifest !== undefined;
      if (manifest !== undefined) {
        const count = (origin: "store" | "network", bytes: number) => void (this.#bytes[origin] += bytes);
        const { store, names, remote } = { store: this.#store, names: this.#names, remote: this.#remote };
        return new StoredStream({ store, names, manifest, remote, count }, offset);
      }
      this.#filler = new Filler(this.#store, this.#names);
    }
    const filler = this.#filler;
    const start = filler.problem === undefined ? Math.min(offset, filler.next) : offset;
    const stream = await this.#remote.open(start, signal);
    return new FillingStream(stream, filler, start, offset, (bytes) => this.#bytes.network += bytes);
  }

  /** Takes the file out of the store. */
  async forget(): Promise<void> {
    const manifest = await readManifest(this.#store, this.#names);
    await this.#store.delete(this.#names.manifest);
    for (let i = 0; i < (manifest?.sha256.length ?? 0); i++) await this.#store.delete(this.#names.chunk(i));
    this.#filler = undefined;
    this.#found = false;
  }
}

/** The network's bytes, which fill the entry as they pass; those before `offset` do nothing else. */
class FillingStream implements ByteStream {
  constructor(
    private readonly stream: ByteStream,
    private readonly filler: Filler,
    private position: number,
    private readonly offset: number,
    private readonly count: (bytes: number) => void,
  ) {}

  get size(): number | undefined {
    return this.stream.size;
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const piece = await this.stream.read();
      if (piece === undefined) {
        await this.filler.seal(this.stream.size);
        return undefined;
      }
      this.count(piece.length);
      await this.filler.put(piece, this.position);
      const wanted = piece.subarray(Math.min(piece.length, Math.max(0, this.offset - this.position)));
      this.position += piece.length;
      if (wanted.length > 0) return wanted;
    }
  }

  close(): void {
    this.filler.rewind();
    this.stream.close();
  }
}
