/**
 * The draw itself: the token whose stretch of [0, 1) the uniform number falls into.
 *
 * @module
 */
import type { LogitsRow } from "./logits.ts";

/** Sum of the first `count` probabilities. */
export function massOf(probs: Float64Array, count: number): number {
  let mass = 0;
  for (let i = 0; i < count; i++) mass += probs[i];
  return mass;
}

/**
 * Index of the survivor that `target` falls on, when each takes as much room as its probability.
 *
 * @param target In [0, sum of the probabilities); rounding beyond it gives the last survivor with any probability.
 */
export function drawSurvivor(probs: Float64Array, count: number, target: number): number {
  let sum = 0;
  let last = 0;
  for (let i = 0; i < count; i++) {
    if (probs[i] === 0) break;
    last = i;
    sum += probs[i];
    if (target < sum) break;
  }
  return last;
}

/**
 * The token outside the survivors that `target` falls on: the rare rest of an untruncated draw, so that the
 * survivors' limit takes nothing from the distribution.
 *
 * @param row Tempered logits.
 * @param survivors Ids that have had their chance.
 * @param target Mass left after theirs.
 */
export function drawTail(
  row: LogitsRow,
  survivors: Uint32Array,
  logSumExp: number,
  target: number,
): number {
  const taken = new Set(survivors);
  const logits = row.view();
  let sum = 0;
  let last = survivors[0];
  for (let id = 0; id < logits.length; id++) {
    const prob = Math.exp(logits[id] - logSumExp);
    if (!(prob > 0) || taken.has(id)) continue;
    last = id;
    sum += prob;
    if (target < sum) break;
  }
  return last;
}
