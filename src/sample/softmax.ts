/**
 * From logits to probabilities, in double precision.
 *
 * @module
 */

/** ln Σ exp(logit) of descending logits. */
export function logSumExp(logits: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - logits[0]);
  return logits[0] + Math.log(sum);
}

/**
 * `exp(logit - total)`: each token's share of the tokens whose log-sum-exp `total` is.
 *
 * @param probs Where the probabilities go.
 */
export function shares(probs: Float64Array, logits: Float32Array, total: number): void {
  for (let i = 0; i < logits.length; i++) probs[i] = Math.exp(logits[i] - total);
}
