/**
 * What a place needs to keep models in: values by name.
 *
 * @module
 */

/**
 * Values of at most {@link CHUNK_BYTES} by name. Names are up to 50 letters, digits, dots and dashes. A value may be
 * lost, cut short or damaged at any time: who reads checks it.
 */
export interface ModelStore {
  /** A value; `undefined` when there is none. */
  get(name: string): Promise<ReadableStream<Uint8Array> | Uint8Array | undefined>;
  /** Keeps a value, in place of one of that name. The bytes are valid until it has resolved. */
  put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Forgets a value, if there is one. */
  delete(name: string): Promise<void>;
}

/** Bytes of a value: one buffer of this size is held while a model loads. Values of Workers KV may have 25 MiB. */
export const CHUNK_BYTES = 2 ** 22;
