/**
 * What stands for text that no token covers.
 *
 * @module
 */
import { NO_TOKEN } from "./merge.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Writes the byte tokens of an uncovered character, else the unknown token: one for a run of such characters. */
export class UnknownText {
  readonly #byteIds: Uint32Array;
  readonly #unkId: number | undefined;
  #running = false;

  constructor(vocabulary: Vocabulary, unkId: number | undefined) {
    this.#byteIds = vocabulary.byteIds;
    this.#unkId = unkId;
  }

  /** A run of unknown characters is over. */
  end(): void {
    this.#running = false;
  }

  /** Appends what stands for the character `bytes[start, end)`; nothing where the vocabulary has no unknown token. */
  write(bytes: Uint8Array, start: number, end: number, out: number[]): void {
    let covered = true;
    for (let i = start; i < end; i++) covered &&= this.#byteIds[bytes[i]] !== NO_TOKEN;
    if (covered) {
      for (let i = start; i < end; i++) out.push(this.#byteIds[bytes[i]]);
    } else if (this.#unkId !== undefined && !this.#running) {
      out.push(this.#unkId);
    }
    this.#running = !covered;
  }
}
