/**
 * Finds special tokens inside a text: user-defined ones always, control tokens only where the caller says that the text
 * may hold them. Of matches at one place the longest wins, of overlapping ones the first.
 *
 * @module
 */
import { HASH_START, hashByte } from "./byte_index.ts";
import { TokenType } from "./token_text.ts";
import { writeUtf8 } from "./utf8.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Searches texts for the special tokens of a vocabulary. */
export class SpecialMatcher {
  /** The token that {@link next} found, where it starts and ends, in code units. */
  id = -1;
  start = 0;
  end = 0;
  readonly #vocabulary: Vocabulary;
  /** By a token's first byte: 1 some user-defined token starts so, 2 some other special one does. */
  readonly #firstBytes = new Uint8Array(256);
  readonly #longest: number;
  readonly #bytes: Uint8Array;
  readonly #hasUserDefined: boolean;

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
    const { blob, offsets } = vocabulary;
    let longest = 0;
    let hasUserDefined = false;
    for (let id = 0; id < vocabulary.nTokens; id++) {
      const type = vocabulary.type(id);
      const userDefined = type === TokenType.userDefined;
      const length = offsets[id + 1] - offsets[id];
      if (length === 0 || !(userDefined || type === TokenType.control || type === TokenType.unknown)) {
        continue;
      }
      this.#firstBytes[blob[offsets[id]]] |= userDefined ? 1 : 2;
      longest = Math.max(longest, length);
      hasUserDefined ||= userDefined;
    }
    this.#longest = longest;
    this.#hasUserDefined = hasUserDefined;
    this.#bytes = new Uint8Array(longest + 4);
  }

  /** Looks for the first special token at or after `from`; false when there is none. */
  next(text: string, from: number, parseSpecial: boolean): boolean {
    if (!parseSpecial && !this.#hasUserDefined) return false;
    const wanted = parseSpecial ? 3 : 1;
    for (let at = from; at < text.length; at++) {
      if ((this.#firstBytes[firstByte(text.charCodeAt(at))] & wanted) === 0) continue;
      if (this.#matchAt(text, at, parseSpecial)) return true;
    }
    return false;
  }

  #matchAt(text: string, at: number, parseSpecial: boolean): boolean {
    const bytes = this.#bytes;
    const { special } = this.#vocabulary;
    this.id = -1;
    let state = HASH_START;
    let n = 0;
    for (let i = at; i < text.length && n < this.#longest;) {
      const width = text.codePointAt(i)! > 0xffff ? 2 : 1;
      const stop = writeUtf8(text, i, i + width, bytes, n);
      while (n < stop) state = hashByte(state, bytes[n++]);
      i += width;
      const id = special.findHashed(bytes, 0, n, state);
      if (id < 0 || !(parseSpecial || this.#vocabulary.type(id) === TokenType.userDefined)) continue;
      this.id = id;
      this.start = at;
      this.end = i;
    }
    return this.id >= 0;
  }
}

/** First UTF-8 byte of the character that starts with this code unit; a high surrogate starts four bytes. */
function firstByte(unit: number): number {
  if (unit < 0x80) return unit;
  if (unit < 0x800) return 0xc0 | (unit >> 6);
  if (unit < 0xd800 || unit >= 0xdc00) return 0xe0 | (unit >> 12);
  return 0xf0 | ((0x40 + (unit & 0x3ff)) >> 8);
}
