/**
 * The marker of a whole entry: written last, so that an entry without one is torn.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import { CHUNK_BYTES, type ModelStore } from "./model_store.ts";

/** What an entry holds. Chunk `i` is the bytes from `i * CHUNK_BYTES` on. */
export interface Manifest {
  readonly version: 1;
  /** Bytes of the file. */
  readonly size: number;
  /** Of each chunk, in hexadecimal. */
  readonly sha256: readonly string[];
}

const encode = (text: string) => new TextEncoder().encode(text);

/** The names of an entry's values. They do not tell the URL, which may hold a secret. */
export class EntryNames {
  readonly #key: string;

  constructor(url: URL) {
    this.#key = bytesToHex(sha256(new TextEncoder().encode(url.href))).slice(0, 32);
  }

  get manifest(): string {
    return `${this.#key}.manifest`;
  }

  chunk(index: number): string {
    return `${this.#key}.${String(index).padStart(5, "0")}`;
  }
}

/** The SHA-256 of a chunk. */
export async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** The manifest of a whole entry; `undefined` when there is none, or none that can be trusted. */
export async function readManifest(store: ModelStore, names: EntryNames): Promise<Manifest | undefined> {
  try {
    const value = await store.get(names.manifest);
    if (value === undefined) return undefined;
    const text = await new Response(value as BodyInit).text();
    const digest = text.slice(0, 64);
    const json = text.slice(65);
    if (digest !== await digestOf(encode(json))) return undefined;
    const manifest: Manifest = JSON.parse(json);
    const { version, size, sha256 } = manifest;
    const sound = version === 1 && size > 0 && sha256.length === Math.ceil(size / CHUNK_BYTES);
    return sound ? manifest : undefined;
  } catch {
    // a store that can't be read is as good as an empty one
    return undefined;
  }
}

/** Declares an entry whole: one line with the digest of the next, which is the manifest in JSON. */
export async function writeManifest(store: ModelStore, names: EntryNames, manifest: Manifest): Promise<void> {
  const json = JSON.stringify(manifest);
  await store.put(names.manifest, encode(`${await digestOf(encode(json))}\n${json}`));
}
