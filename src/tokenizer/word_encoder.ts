/**
 * One word to token ids: looked up whole where that is what merging would give, otherwise split into symbols and
 * merged. What a whole look-up may answer is learnt token by token: the first time a word is a token, merging decides,
 * and two bits beside the token's type keep the answer. Most words of a text are then one hash look-up.
 *
 * @module
 */
import { Merger, NO_TOKEN, type PairTable } from "./merge.ts";
import { UnknownText } from "./unknown_text.ts";
import { utf8Length } from "./utf8.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** What the symbols of a word are at first: its bytes, or its characters. */
export type Symbols = "bytes" | "characters";

/** Encodes words, each within the bounds of a byte buffer. */
export class WordEncoder {
  readonly #vocabulary: Vocabulary;
  readonly #pairs: PairTable;
  readonly #symbols: Symbols;
  readonly #wholeWords: boolean;
  readonly #unknown: UnknownText;
  readonly #merger = new Merger();

  /** @param wholeWords A word that is a token is taken whole even where merging would not make it. */
  constructor(
    vocabulary: Vocabulary,
    pairs: PairTable,
    symbols: Symbols,
    wholeWords: boolean,
    unkId: number | undefined,
  ) {
    this.#vocabulary = vocabulary;
    this.#pairs = pairs;
    this.#symbols = symbols;
    this.#wholeWords = wholeWords;
    this.#unknown = new UnknownText(vocabulary, unkId);
  }

  /** Call before the first word of a text. */
  start(): void {
    this.#unknown.end();
    this.#merger.release();
  }

  /** Appends the ids of `bytes[start, end)` to `out`. */
  encode(bytes: Uint8Array, start: number, end: number, out: number[]): void {
    const vocabulary = this.#vocabulary;
    const whole = end - start <= vocabulary.maxTokenBytes ? vocabulary.plain.find(bytes, start, end) : -1;
    const known = whole >= 0 && (this.#wholeWords || vocabulary.isWhole(whole));
    if (known === true) {
      out.push(whole);
      this.#unknown.end();
      return;
    }
    const before = out.length;
    this.#merge(bytes, start, end, out);
    if (known === undefined) vocabulary.setWhole(whole, out.length === before + 1 && out[before] === whole);
  }

  #merge(bytes: Uint8Array, start: number, end: number, out: number[]): void {
    const merger = this.#merger;
    merger.reserve(end - start);
    let n = 0;
    for (let at = start; at < end; n++) {
      const length = this.#symbols === "bytes" ? 1 : Math.min(utf8Length(bytes[at]), end - at);
      merger.starts[n] = at;
      merger.ids[n] = this.#symbol(bytes, at, at + length);
      at += length;
    }
    merger.starts[n] = end;
    n = merger.run(n, bytes, this.#pairs);
    for (let i = 0; i < n; i++) {
      if (merger.ids[i] === NO_TOKEN) {
        this.#unknown.write(bytes, merger.starts[i], merger.starts[i + 1], out);
      } else {
        out.push(merger.ids[i]);
        this.#unknown.end();
      }
    }
  }

  #symbol(bytes: Uint8Array, start: number, end: number): number {
    if (this.#symbols === "bytes") return this.#vocabulary.byteIds[bytes[start]];
    const id = this.#vocabulary.plain.find(bytes, start, end);
    return id < 0 ? NO_TOKEN : id;
  }
}
