/**
 * SentencePiece's unigram model: the segmentation into pieces with the highest sum of log-probabilities, by Viterbi.
 *
 * ```text
 * best[0] = 0
 * for each character at i: for each piece bytes[i, j): best[j] = max(best[j], best[i] + score(piece))
 * a character that is no piece counts as unknown, 10 below the worst score; runs of unknown are one token
 * ```
 *
 * All prefixes at `i` are looked up in one pass, since the index's hash goes on byte by byte.
 * Source: Kudo 2018, arXiv 1804.10959.
 *
 * @module
 */
import { HASH_START, hashByte } from "./byte_index.ts";
import { NO_TOKEN } from "./merge.ts";
import { TokenType } from "./token_text.ts";
import { UnknownText } from "./unknown_text.ts";
import { utf8Length } from "./utf8.ts";
import type { Vocabulary } from "./vocabulary.ts";

const UNKNOWN_PENALTY = 10;

/** Encodes words of a normalised text; a word may be a whole text. */
export class UnigramEncoder {
  readonly #vocabulary: Vocabulary;
  readonly #unknown: UnknownText;
  readonly #unknownScore: number;
  #scores = new Float64Array(257);
  #ids = new Uint32Array(257);
  #starts = new Uint32Array(257);
  #ends = new Uint32Array(257);

  constructor(vocabulary: Vocabulary, unkId: number | undefined) {
    this.#vocabulary = vocabulary;
    this.#unknown = new UnknownText(vocabulary, unkId);
    let worst = Infinity;
    for (let id = 0; id < vocabulary.nTokens; id++) {
      if (vocabulary.type(id) === TokenType.normal) worst = Math.min(worst, vocabulary.scores[id]);
    }
    this.#unknownScore = (worst < Infinity ? worst : 0) - UNKNOWN_PENALTY;
  }

  /** Call before the first word of a text. */
  start(): void {
    this.#unknown.end();
    if (this.#ids.length > 4096) this.#reserve(256);
  }

  /** Appends the ids of `bytes[start, end)` to `out`. */
  encode(bytes: Uint8Array, start: number, end: number, out: number[]): void {
    const length = end - start;
    if (this.#ids.length <= length) this.#reserve(length);
    this.#forward(bytes, start, end);
    // The links lead from the end to the start; `ends` turns them around.
    for (let at = length; at > 0; at = this.#starts[at]) this.#ends[this.#starts[at]] = at;
    for (let at = 0; at < length; at = this.#ends[at]) {
      const stop = this.#ends[at];
      if (this.#ids[stop] === NO_TOKEN) {
        this.#unknown.write(bytes, start + at, start + stop, out);
      } else {
        out.push(this.#ids[stop]);
        this.#unknown.end();
      }
    }
  }

  #reserve(length: number): void {
    this.#scores = new Float64Array(length + 1);
    this.#ids = new Uint32Array(length + 1);
    this.#starts = new Uint32Array(length + 1);
    this.#ends = new Uint32Array(length + 1);
  }

  /** Best score, last piece and its start for every end of a piece, as offsets into the word. */
  #forward(bytes: Uint8Array, start: number, end: number): void {
    const { plain, maxTokenBytes } = this.#vocabulary;
    this.#scores.fill(-Infinity, 0, end - start + 1)[0] = 0;
    for (let at = start; at < end;) {
      const next = Math.min(at + utf8Length(bytes[at]), end);
      const limit = Math.min(end, at + maxTokenBytes);
      let state = HASH_START;
      let whole = false;
      for (let stop = at; stop < limit;) {
        state = hashByte(state, bytes[stop++]);
        // Pieces end where characters end.
        if (stop < end && (bytes[stop] & 0xc0) === 0x80) continue;
        const id = plain.findHashed(bytes, at, stop, state);
        if (id < 0 || this.#vocabulary.type(id) === TokenType.unused) continue;
        whole ||= stop === next;
        this.#improve(at - start, stop - start, id, this.#vocabulary.scores[id]);
      }
      if (!whole) this.#improve(at - start, next - start, NO_TOKEN, this.#unknownScore);
      at = next;
    }
  }

  #improve(from: number, to: number, id: number, score: number): void {
    const sum = this.#scores[from] + score;
    if (!(sum > this.#scores[to])) return;
    this.#scores[to] = sum;
    this.#ids[to] = id;
    this.#starts[to] = from;
  }
}
