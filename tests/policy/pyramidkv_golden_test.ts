import { assertEquals } from "@std/assert";
import { layerBudgets } from "../../src/cache/cache_plan.ts";
import { readPolicy } from "../../src/cache/policies/mod.ts";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

interface Budgets {
  readonly n: number;
  readonly budget: number;
  readonly window: number;
  readonly layers: number;
  readonly beta: number;
}

interface Variant {
  readonly params: { budget: number; window: number; pool: number; layers: number; beta: number };
  readonly score: number[][];
  readonly budgets: number[];
  readonly budget_table: (Budgets & { stored: number[] })[];
  readonly kept_prompt: number[][][];
  readonly per_layer_steps: { t: number; out: number[][] }[][];
}

interface Tiny {
  readonly tiny: { readonly given: Budgets; readonly expected: number[] };
}

const file = await golden<GoldenFile<Variant> & Tiny>("pyramidkv.json");

/** Slots of the layers; where the prompt is short, all of it. */
function budgets({ n, budget, window, layers, beta }: Budgets): number[] {
  const policy = readPolicy(`pyramidkv:window=${window},beta=${beta}`)!;
  return layerBudgets(policy, budget, layers, n).map((slots) => Math.min(slots, n));
}

Deno.test({
  name: "pyramidkv.json: budgets of the layers, tiny too",
  ignore: !present,
  fn: () => {
    const { tiny, variants: { main: { budget_table } } } = file!;
    for (const { stored, ...given } of budget_table) {
      assertEquals(budgets(given), stored, JSON.stringify(given));
    }
    assertEquals(budgets(tiny.given), tiny.expected);
  },
});

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  Deno.test({
    name: `pyramidkv.json: scores, kept sets and outputs of every layer (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants: { main } } = file!;
      const { params: { budget, window, pool, layers, beta }, score, kept_prompt, per_layer_steps } = main;
      const policy = `pyramidkv:window=${window},pool=${pool},beta=${beta}`;
      const rig = await makeRig({ ...shape(file!), binary, policy, budget, nLayers: layers });
      rig.prompt(q, k, v, n);
      score.forEach((wanted, head) => assertClose(rig.scratch(head, wanted.length), wanted, 1e-5, "score"));
      kept_prompt.forEach((kept, layer) => assertEquals(rig.kept(layer), kept, `layer ${layer}`));
      per_layer_steps[0].forEach((_, step) => {
        rig.step(q, k, v);
        per_layer_steps.forEach((steps, layer) => {
          assertOut(rig.outputs[layer][0], steps[step].out, `layer ${layer}, step ${step}`);
        });
      });
    },
  });
}
