/**
 * Models in an R2 bucket, read by ranges. Bytes pass through one small buffer, since an isolate that holds a model has
 * no room for copies.
 *
 * @module
 */
import { SourceError } from "../error.ts";
import type { RangeReader } from "./range_file.ts";

/** What is needed of a Worker's R2 binding. */
export interface R2Bucket {
  head(key: string): Promise<{ readonly size: number; readonly etag: string } | null>;
  get(key: string, options: {
    range: { offset: number; length: number };
    onlyIf: { etagMatches: string };
  }): Promise<object | null>;
}

/** Bytes of one request: few requests for a whole model, little lost when one breaks. */
const REQUEST_BYTES = 2 ** 24;

/** Bytes of the only buffer. Every read leaves some garbage: few large ones keep the heap of a small isolate small. */
const BUFFER_BYTES = 2 ** 18;

/** Requests that may break in a row. */
const TRIES = 3;

/**
 * An object as an input for `loadModel`. Its version is settled here: when the object is replaced while it is being read,
 * the reading fails.
 *
 * @throws {SourceError} When the bucket has no such object.
 *
 * @example
 * ```ts ignore
 * const model = await loadModel(await r2Object(env.MODELS, "smollm2-135m-q4_0.gguf"), { maxBytes: 100e6 });
 * ```
 */
export async function r2Object(bucket: R2Bucket, key: string): Promise<RangeReader> {
  const head = await bucket.head(key);
  if (head === null) {
    throw new SourceError("the bucket has no such object", key);
  }
  return new R2Reader(bucket, key, head.size, head.etag);
}

class R2Reader implements RangeReader {
  readonly #bucket: R2Bucket;
  readonly #etag: string;
  #buffer = new ArrayBuffer(BUFFER_BYTES);
  #body: ReadableStreamBYOBReader | undefined;
  #position = 0;
  /** Where the bytes of the running request end. */
  #end = 0;

  constructor(bucket: R2Bucket, readonly name: string, readonly size: number, etag: string) {
    this.#bucket = bucket;
    this.#etag = etag;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    for (let failures = 0;;) {
      try {
        return await this.#read(offset, Math.min(length, BUFFER_BYTES));
      } catch (error) {
        this.#body = undefined;
        this.#buffer = new ArrayBuffer(BUFFER_BYTES);
        if (error instanceof SourceError || ++failures === TRIES) throw error;
      }
    }
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    if (offset >= this.size) return new Uint8Array();
    if (this.#body === undefined || offset !== this.#position || offset === this.#end) {
      await this.#request(offset);
    }
    // the buffer goes to the stream and comes back with the bytes, filled as far as the answer reaches
    const view = new Uint8Array(this.#buffer, 0, Math.min(length, this.#end - offset));
    const { value } = await this.#body!.read(view, { min: view.length });
    if (value === undefined || value.length === 0) {
      throw new Error("the answer ended early");
    }
    this.#buffer = value.buffer;
    this.#position = offset + value.length;
    return value;
  }

  async #request(offset: number): Promise<void> {
    void this.#body?.cancel().catch(() => {});
    const length = Math.min(REQUEST_BYTES, this.size - offset);
    const object = await this.#bucket.get(this.name, {
      range: { offset, length },
      onlyIf: { etagMatches: this.#etag },
    });
    const body = (object as { body?: ReadableStream<Uint8Array> } | null)?.body;
    if (body === undefined) {
      throw new SourceError("the object was replaced while it was read", this.name);
    }
    this.#body = body.getReader({ mode: "byob" });
    this.#position = offset;
    this.#end = offset + length;
  }
}
