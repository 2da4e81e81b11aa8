/**
 * Keeps the smallest set of most likely tokens whose probabilities add up to `p`; the token that reaches it stays.
 *
 * @param probs Descending.
 * @param count Survivors so far.
 * @param p In (0, 1]; 1 keeps all.
 * @returns Survivors now, at least 1.
 * @see A. Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv 1904.09751 §3.1
 */
export function topP(probs: Float64Array, count: number, p: number): number {
  if (p >= 1) return count;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += probs[i];
    if (sum >= p) return i + 1;
  }
  return count;
}
