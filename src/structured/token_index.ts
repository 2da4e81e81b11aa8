/**
 * The tokens of a vocabulary in the order of their bytes, so that what they share at their start is looked at once.
 *
 * @module
 */
import type { Tokenizer } from "../tokenizer/mod.ts";
import { commonStart, compareBytes } from "./bytes.ts";
import { plainLength } from "./string.ts";

/** Beyond this tokens share what they like: it is looked at again. */
const MOST_SHARED = 255;
const MOST_PLAIN = 255;

const indexes = new WeakMap<Tokenizer, TokenIndex>();

/** 6 bytes a token, made when a constraint asks for it the first time. */
export class TokenIndex {
  /** Ids of the tokens that text is made of, by their bytes. */
  readonly ids: Uint32Array;
  /** Bytes at its start that a token has in common with the one before. */
  readonly shared: Uint8Array;
  /** Characters of a token that can stand in a JSON string as it is; 0 for all others. */
  readonly plain: Uint8Array;

  private constructor(tokenizer: Tokenizer) {
    const text: number[] = [];
    for (let id = 0; id < tokenizer.nVocab; id++) {
      const control = tokenizer.isControl(id) || tokenizer.eogIds.has(id);
      if (!control && tokenizer.tokenBytes(id).length > 0) text.push(id);
    }
    const bytes = (id: number) => tokenizer.tokenBytes(id);
    this.ids = Uint32Array.from(text).sort((a, b) => compareBytes(bytes(a), bytes(b)));
    this.shared = Uint8Array.from(
      this.ids,
      (id, i) => i === 0 ? 0 : Math.min(MOST_SHARED, commonStart(bytes(this.ids[i - 1]), bytes(id))),
    );
    this.plain = Uint8Array.from(this.ids, (id) => {
      const length = plainLength(bytes(id));
      return length > MOST_PLAIN ? 0 : length;
    });
  }

  /** The one of this tokenizer. */
  static of(tokenizer: Tokenizer): TokenIndex {
    let index = indexes.get(tokenizer);
    if (index === undefined) indexes.set(tokenizer, index = new TokenIndex(tokenizer));
    return index;
  }
}
