/**
 * Bytes collected as they arrive. Capacity doubles, so memory stays within a small multiple of what was appended,
 * whatever length a file claims.
 *
 * @module
 */

import { copyBytes } from "./copy_bytes.ts";

const FIRST_CAPACITY = 256;

/** A byte array that grows by appending. */
export class GrowingBytes {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  readonly #expected: number;

  /** @param expected The length to come, if it is known: capacity never passes it. */
  constructor(expected = Infinity) {
    this.#expected = expected;
    this.#bytes = new Uint8Array(Math.min(expected, FIRST_CAPACITY));
  }

  get length(): number {
    return this.#length;
  }

  /** Appends the bytes `from` to `to` of a piece. */
  appendPart(piece: Uint8Array, from: number, to: number): void {
    const length = this.#length + to - from;
    if (length > this.#bytes.length) {
      this.#resize(Math.max(length, Math.min(2 * this.#bytes.length, this.#expected)));
    }
    copyBytes(piece, from, to, this.#bytes, this.#length);
    this.#length = length;
  }

  /** The bytes, in a buffer of just their length. Nothing may be appended afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    if (this.#length < this.#bytes.length) this.#resize(this.#length);
    return this.#bytes;
  }

  // `transfer` detaches the old buffer, so that its memory is not held until the next garbage collection.
  #resize(capacity: number): void {
    this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(capacity));
  }
}
