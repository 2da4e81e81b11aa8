/**
 * Models cut into files that a host takes: static assets of Workers, values of KV, a web server with a size limit. A
 * manifest names the shards in order with their sizes and digests; `deno task shard` writes both.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import { SourceError } from "../error.ts";
import type { RangeReader } from "./range_file.ts";

/** One file of a model that was cut. */
export interface Shard {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** What `manifest.json` holds. */
export interface ShardManifest {
  readonly version: 1;
  /** The model's file before it was cut. */
  readonly name: string;
  readonly shards: readonly Shard[];
}

/** Gets a file by its name in the manifest; `null` when there is none. */
export type OpenShard = (name: string) => Promise<Response | ReadableStream<Uint8Array> | null>;

export const MANIFEST = "manifest.json";

/**
 * A model in shards as an input for `loadModel`. Each shard is read once, from front to back, and is not trusted before
 * its size and digest are right: loading fails otherwise.
 *
 * @param open Called for `manifest.json`, then for each shard when its turn has come.
 * @throws {SourceError} When the manifest can't be had or is none.
 *
 * @example
 * ```ts ignore
 * const shards = await openShards((name) => env.ASSETS.fetch(`https://assets/model/${name}`)); // static assets
 * const values = await openShards((name) => env.KV.get(name, "stream")); // KV
 * const model = await loadModel(shards);
 * ```
 */
export async function openShards(open: OpenShard): Promise<RangeReader> {
  const text = await new Response(await bodyOf(open, MANIFEST)).text();
  return new ShardReader(open, readManifest(text));
}

function readManifest(text: string): ShardManifest {
  try {
    const manifest: ShardManifest = JSON.parse(text);
    const sound = manifest.version === 1 && manifest.shards.length > 0 &&
      manifest.shards.every(({ name, size, sha256 }) =>
        typeof name === "string" && Number.isSafeInteger(size) && size > 0 && /^[0-9a-f]{64}$/.test(sha256)
      );
    if (sound) return manifest;
  } catch {
    // no JSON, or not of that shape
  }
  throw new SourceError("it is no manifest of shards, version 1", MANIFEST);
}

async function bodyOf(open: OpenShard, name: string): Promise<ReadableStream<Uint8Array>> {
  const found = await open(name);
  if (found instanceof ReadableStream) return found;
  if (found === null) throw new SourceError("there is no such file", name);
  if (!found.ok || found.body === null) throw new SourceError(`HTTP status ${found.status}`, name);
  return found.body;
}

class ShardReader implements RangeReader {
  readonly size: number;
  readonly name: string;
  readonly #open: OpenShard;
  readonly #shards: readonly (Shard & { readonly start: number })[];
  #current: ShardStream | undefined;
  #position = 0;
  #rest = new Uint8Array();

  constructor(open: OpenShard, { name, shards }: ShardManifest) {
    let start = 0;
    this.#shards = shards.map((shard) => ({ ...shard, start: (start += shard.size) - shard.size }));
    this.#open = open;
    this.size = start;
    this.name = name;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset >= this.size) return new Uint8Array();
    if (this.#current === undefined || offset !== this.#position) await this.#seek(offset);
    while (this.#rest.length === 0) {
      const piece = await this.#current!.read();
      if (piece === undefined) await this.#seek(this.#position);
      else this.#rest = piece;
    }
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(piece.length);
    this.#position += piece.length;
    return piece;
  }

  /** Opens the shard with the byte at `offset` and reads up to there, so that its digest is of the whole. */
  async #seek(offset: number): Promise<void> {
    this.#current?.cancel();
    const shard = this.#shards.findLast(({ start }) => start <= offset)!;
    this.#current = new ShardStream(shard, await bodyOf(this.#open, shard.name));
    this.#position = offset;
    let skip = offset - shard.start;
    for (;;) {
      const piece = await this.#current.read() ?? new Uint8Array();
      this.#rest = piece.subarray(Math.min(skip, piece.length));
      skip -= piece.length - this.#rest.length;
      if (this.#rest.length > 0) return;
    }
  }
}

/** A shard that is counted and digested as it passes. */
class ShardStream {
  readonly #shard: Shard;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #hash = sha256.create();
  #read = 0;

  constructor(shard: Shard, body: ReadableStream<Uint8Array>) {
    this.#shard = shard;
    this.#reader = body.getReader();
  }

  /** @returns The next bytes; `undefined` once all have come. The last of them only when the digest is right. */
  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { name, size, sha256 } = this.#shard;
    if (this.#read === size) return undefined;
    const { value } = await this.#reader.read();
    if (value === undefined) throw new SourceError(`it ends after ${this.#read} of ${size} bytes`, name);
    this.#read += value.length;
    if (this.#read > size) throw new SourceError(`more than ${size} bytes came`, name);
    this.#hash.update(value);
    if (this.#read === size) {
      const found = bytesToHex(this.#hash.digest());
      if (found !== sha256) throw new SourceError(`the SHA-256 is ${found}, wanted ${sha256}`, name);
    }
    return value as Uint8Array<ArrayBuffer>;
  }

  cancel(): void {
    this.#reader.cancel().catch(() => {});
  }
}
