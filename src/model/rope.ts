/**
 * Rotary frequencies and ALiBi slopes, computed once at load in double precision.
 *
 * @module
 */
import type { Rope } from "../hparams.ts";

/**
 * Angle per position of each pair, `[dims / 2]`: `base^(-2i / dims)`, stretched as the scaling says.
 *
 * @param factors Divisors `[dims / 2]` from a tensor, applied after any scaling.
 * @see arXiv 2104.09864 §3.2.2; arXiv 2309.00071 §3.2 for yarn.
 */
export function ropeFrequencies(rope: Rope, factors?: Float32Array): Float64Array {
  return Float64Array.from({ length: rope.dims / 2 }, (_, i) => {
    const frequency = rope.base ** (-2 * i / rope.dims);
    return stretched(rope, i, frequency) / (factors?.[i] ?? 1);
  });
}

function stretched({ scaling, dims, base }: Rope, i: number, frequency: number): number {
  if (scaling.kind === "none") return frequency;
  const slow = frequency / scaling.factor;
  if (scaling.kind === "linear") return slow;
  // The pair that turns `turns` times over the original context.
  const pair = (turns: number) =>
    dims * Math.log(scaling.originalContext / (turns * 2 * Math.PI)) / (2 * Math.log(base));
  const low = Math.max(0, Math.floor(pair(scaling.betaFast)));
  const high = Math.min(dims - 1, Math.ceil(pair(scaling.betaSlow)));
  const share = Math.min(1, Math.max(0, (i - low) / Math.max(0.001, high - low)));
  return slow * share + frequency * (1 - share);
}

/**
 * Slope per head, `[nHeads]`: a geometric sequence down to `2^-maxBias`; for a number of heads that is no power of
 * two the missing ones come from between those of the next smaller power.
 *
 * @see arXiv 2108.12409 §3
 */
export function alibiSlopes(nHeads: number, maxBias: number): Float64Array {
  const power = 2 ** Math.floor(Math.log2(nHeads));
  return Float64Array.from(
    { length: nHeads },
    (_, h) =>
      h < power ? 2 ** (-maxBias * (h + 1) / power) : 2 ** (-maxBias * (2 * (h - power) + 1) / (2 * power)),
  );
}
