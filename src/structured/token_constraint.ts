/**
 * From bytes to tokens: which tokens may come next, all of a vocabulary at once.
 *
 *     for each token, by its bytes:
 *       share the states of the token before, as far as both begin alike
 *       walk on byte by byte; where nothing may come, skip all tokens that begin so
 *
 * Within a string most tokens can stand as they are; that was found out once for all, and they aren't walked.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Constraint } from "../sample/constraint.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import { accepts, END, type Stack, step } from "./stack.ts";
import { TokenIndex } from "./token_index.ts";

/** A constraint on tokens by a machine on bytes. */
export class TokenConstraint implements Constraint {
  readonly #tokenizer: Tokenizer;
  readonly #index: TokenIndex;
  #stacks: readonly Stack[];
  #ended = false;

  /** @param start Everything that is to come, in one or several ways. */
  constructor(tokenizer: Tokenizer, start: readonly Stack[]) {
    this.#tokenizer = tokenizer;
    this.#index = TokenIndex.of(tokenizer);
    this.#stacks = start;
  }

  get complete(): boolean {
    if (this.#ended || this.#stacks.every((stack) => stack === END)) return true;
    // where no token says so, a text ends as soon as it can
    return this.#tokenizer.eogIds.size === 0 && this.#stacks.some(accepts);
  }

  fill(mask: Uint32Array): boolean {
    mask.fill(0);
    let found = this.#fillTokens(mask);
    if (this.#stacks.some(accepts)) {
      for (const id of this.#tokenizer.eogIds) setBit(mask, id);
      found ||= this.#tokenizer.eogIds.size > 0;
    }
    if (found) return true;
    throw new OptionError("jsonSchema", "a text that no token goes on", "one that the vocabulary can spell");
  }

  accept(id: number): void {
    this.#ended = this.#tokenizer.eogIds.has(id);
    if (this.#ended) return;
    for (const byte of this.#tokenizer.tokenBytes(id)) this.#stacks = step(this.#stacks, byte);
  }

  /** @returns Whether there is any. */
  #fillTokens(mask: Uint32Array): boolean {
    const { ids, shared, plain } = this.#index;
    const room = Math.max(...this.#stacks.map(({ item }) => item.room ?? 0));
    const states = [this.#stacks];
    /** Bytes that the next token has in common with the one walked last. */
    let common = 0;
    /** As many bytes of the one walked last that nothing may come of; 0 where it could be walked to its end. */
    let dead = 0;
    let found = false;
    for (let i = 0; i < ids.length; i++) {
      if (shared[i] < common) common = shared[i];
      const id = ids[i];
      if (plain[i] > 0 && plain[i] <= room) {
        setBit(mask, id);
        found = true;
        continue;
      }
      if (dead > 0 && common >= dead) continue;
      const bytes = this.#tokenizer.tokenBytes(id);
      dead = 0;
      for (let at = common; at < bytes.length; at++) {
        const next = step(states[at], bytes[at]);
        if (next.length === 0) {
          dead = at + 1;
          break;
        }
        states[at + 1] = next;
      }
      common = bytes.length;
      if (dead > 0) continue;
      setBit(mask, id);
      found = true;
    }
    return found;
  }
}

function setBit(mask: Uint32Array, id: number): void {
  mask[id >>> 5] |= 1 << (id & 31);
}
