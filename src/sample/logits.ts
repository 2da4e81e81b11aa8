/**
 * What a sampler sees of the model's output: one row of logits that stays in WASM memory, and what the kernels can
 * do with it. Only survivors cross into JS.
 *
 * @module
 */

/** The most tokens that one `top` brings out: the size of its region in the memory plan. */
export const MAX_SURVIVORS = 256;

/** The best tokens of a row, by descending logit, ties to the lower id. */
export interface TopLogits {
  /** Token ids; a view, valid until the next call. */
  readonly ids: Uint32Array;
  /** Their logits; a view, valid until the next call. */
  readonly values: Float32Array;
}

/** The row of logits after the newest token, `[nVocab]`, free to be changed until the next token is decoded. */
export interface LogitsRow {
  readonly nVocab: number;
  /** The id with the largest logit, ties to the lower id. */
  argmax(): number;
  /** The `k` best, 1 … {@link MAX_SURVIVORS} and at most `nVocab`. */
  top(k: number): TopLogits;
  /** ln Σ exp(logit) over the whole vocabulary. */
  logSumExp(): number;
  /** Multiplies every logit by `factor`. */
  scale(factor: number): void;
  /** Adds `values[i]` to the logit of `ids[i]`. */
  add(ids: ArrayLike<number>, values: ArrayLike<number>): void;
  /** Applies the penalties to ids that were seen `counts[i]` times. */
  penalize(ids: ArrayLike<number>, counts: ArrayLike<number>, penalties: Penalties): void;
  /** A bit a token, the lowest of a word first: room to write before `keep`, of one row as of all others. */
  readonly mask: Uint32Array;
  /** Sends the logits of tokens to -Infinity whose bit in `mask` is not set. */
  keep(): void;
  /** A view of the row, valid until the next token is decoded. */
  view(): Float32Array;
}

/** What makes a token that has already been seen less likely. */
export interface Penalties {
  /** Divides a positive logit and multiplies a negative one; 1 = none. arXiv 1909.05858 §4.1. */
  readonly repetition: number;
  /** Subtracted once per occurrence; 0 = none. */
  readonly frequency: number;
  /** Subtracted once if there is any occurrence; 0 = none. */
  readonly presence: number;
}
