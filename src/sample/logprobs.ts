import type { LogitsRow } from "./logits.ts";

/** A token and the natural logarithm of its probability. */
export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

/** How likely the chosen token and its best rivals were, over the whole vocabulary. */
export interface Logprobs {
  /** Natural logarithm of the chosen token's probability. */
  readonly logprob: number;
  /** The most likely tokens, best first, whether chosen or not. */
  readonly top: readonly TokenLogprob[];
}

/** The most rivals that can be asked for, as in OpenAI's API. */
export const MAX_TOP_LOGPROBS = 20;

/**
 * Log-probabilities of a row after bias and penalties, at temperature 1, before any truncation.
 *
 * @param id The chosen token.
 * @param nTop Rivals wanted, 0 … 20.
 */
export function logprobsOf(row: LogitsRow, id: number, nTop: number): Logprobs {
  const logSumExp = row.logSumExp();
  const logprob = row.view()[id] - logSumExp;
  if (nTop === 0) return { logprob, top: [] };
  const { ids, values } = row.top(nTop);
  return { logprob, top: Array.from(ids, (id, i) => ({ id, logprob: values[i] - logSumExp })) };
}
