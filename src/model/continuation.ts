/**
 * How well a model goes on with a text whose beginning its cache holds: the measure of what a policy has kept.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { pause } from "../turn.ts";
import type { Sequence } from "./sequence.ts";

/** A continuation's loss, in nats, over so many tokens. */
export interface Loss {
  readonly nll: number;
  readonly tokens: number;
}

/**
 * Reads a beginning as a prompt and then a continuation token by token, as if it had been generated, and sums the
 * negative log-likelihood of the continuation's tokens.
 *
 * @param sequence Empty. It holds both afterwards.
 * @param visit Called with each token's own loss, in order.
 * @throws {OptionError} When either part has no token, or they do not fit.
 */
export async function scoreContinuation(
  sequence: Sequence,
  beginning: readonly number[],
  continuation: readonly number[],
  { signal, visit }: { signal?: AbortSignal; visit?: (nll: number, index: number) => void } = {},
): Promise<Loss> {
  if (continuation.length === 0) throw new OptionError("continuation", continuation, "at least one token");
  await sequence.prefill(beginning, { signal });
  let sum = 0;
  for (let i = 0; i < continuation.length; i++) {
    const nll = sequence.row.logSumExp() - sequence.row.view()[continuation[i]];
    sum += nll;
    visit?.(nll, i);
    // What follows the last token is not asked.
    if (i + 1 < continuation.length) sequence.decode(continuation[i]);
    await pause(signal);
  }
  return { nll: sum, tokens: continuation.length };
}
