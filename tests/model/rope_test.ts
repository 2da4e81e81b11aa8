import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { Rope } from "../../src/hparams.ts";
import { alibiSlopes, ropeFrequencies } from "../../src/model/rope.ts";

const plain: Rope = { style: "half", dims: 8, base: 10000, scaling: { kind: "none" }, magnitude: 1 };

Deno.test("ropeFrequencies() are powers of the base", () => {
  ropeFrequencies(plain).forEach((frequency, i) => assertAlmostEquals(frequency, 10 ** -i, 1e-12));
});

Deno.test("ropeFrequencies() divides by the factor of linear scaling and by a tensor's", () => {
  const linear = ropeFrequencies({ ...plain, scaling: { kind: "linear", factor: 4 } });
  linear.forEach((frequency, i) => assertAlmostEquals(frequency, 10 ** -i / 4, 1e-12));
  const divided = ropeFrequencies(plain, Float32Array.of(1, 2, 4, 8));
  divided.forEach((frequency, i) => assertAlmostEquals(frequency, 10 ** -i / 2 ** i, 1e-12));
});

Deno.test("ropeFrequencies() of yarn keep the fast pairs and slow the others by the factor", () => {
  const scaling = { kind: "yarn", factor: 4, originalContext: 4096, betaFast: 32, betaSlow: 1 } as const;
  const rope: Rope = { ...plain, dims: 128, scaling };
  const ratio = ropeFrequencies(rope).map((frequency, i) =>
    frequency / ropeFrequencies({ ...rope, scaling: plain.scaling })[i]
  );
  assertAlmostEquals(ratio[0], 1, 1e-12);
  assertAlmostEquals(ratio[63], 0.25, 1e-12);
  // pair 20 turns 36 times over the original context, pair 46 less than once; 33 lies halfway up the ramp
  assertAlmostEquals(ratio[20], 1, 1e-12);
  assertAlmostEquals(ratio[46], 0.25, 1e-12);
  assertAlmostEquals(ratio[33], 1 - 0.75 * (33 - 20) / (46 - 20), 1e-12);
});

Deno.test("alibiSlopes() are the paper's for 8 heads and fill up from between for 12", () => {
  assertEquals([...alibiSlopes(8, 8)], [1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i));
  assertEquals([...alibiSlopes(12, 8)].slice(8), [0.5, 1.5, 2.5, 3.5].map((i) => 2 ** -i));
});
