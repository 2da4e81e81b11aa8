/**
 * Keeps the tokens at least `p` times as likely as the most likely one; 0 keeps all.
 *
 * @param probs Descending probabilities.
 * @param count Survivors so far.
 * @param p Share of the best token's probability, in [0, 1].
 * @returns Survivors now, at least 1.
 * @see M. Nguyen et al., "Turning Up the Heat: Min-p Sampling", arXiv 2407.01082 §3
 */
export function minP(probs: Float64Array, count: number, p: number): number {
  const least = p * probs[0];
  let kept = count;
  while (kept > 1 && probs[kept - 1] < least) kept--;
  return kept;
}
