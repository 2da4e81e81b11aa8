/**
 * Probabilities of the best tokens at a temperature: `exp((logit - reference) / temperature)`.
 *
 * Without `logSumExp` they are normalised among themselves. With the log-sum-exp of the whole row of tempered logits
 * they are each token's share of the whole vocabulary.
 *
 * @param probs Where the probabilities go, descending like the logits.
 * @param logits Descending.
 * @param temperature Above 0: below 1 sharpens, above 1 flattens.
 * @param logSumExp Of `logits / temperature` over the whole vocabulary.
 */
export function temper(
  probs: Float64Array,
  logits: Float32Array,
  temperature: number,
  logSumExp?: number,
): void {
  const reference = logSumExp ?? logits[0] / temperature;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += probs[i] = Math.exp(logits[i] / temperature - reference);
  if (logSumExp !== undefined) return;
  for (let i = 0; i < logits.length; i++) probs[i] /= sum;
}
