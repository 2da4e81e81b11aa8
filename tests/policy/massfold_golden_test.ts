import { assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

interface Variant {
  readonly params: { budget: number; window: number };
  readonly log_score: number[][];
  readonly kept_prompt: number[][];
  readonly merged_v: number[][][];
  readonly bias: number[][];
  readonly joined: [from: number, to: number][][];
  readonly per_step: { t: number; out: number[][] }[];
}

interface Tiny {
  readonly tiny: { readonly expected: number[][] };
}

const file = await golden<GoldenFile<Variant> & Tiny>("massfold.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  for (const preset of [true, false]) {
    Deno.test({
      name: `massfold.json: kept sets, merged values, biases and outputs, as a ${
        preset ? "preset" : "choice beside snapkv"
      } (${binary})`,
      ignore: !present,
      fn: async () => {
        const { n, q, k, v, variants: { main } } = file!;
        const { params: { budget, window }, log_score, kept_prompt, merged_v, bias, joined, per_step } = main;
        const rig = await makeRig({
          ...shape(file!),
          binary,
          policy: `${preset ? "massfold" : "snapkv:pool=1"}${preset ? ":" : ","}window=${window}`,
          victims: preset ? undefined : "mass_fold",
          budget,
        });
        rig.prompt(q, k, v, n);
        assertEquals(rig.kept(), kept_prompt);
        kept_prompt.forEach((kept, head) => {
          assertClose(rig.biases(head), bias[head], 1e-5, "bias");
          const values = rig.stored(head).v;
          merged_v[head].forEach((wanted, i) => assertClose(values[i], wanted, 1e-5, `value of ${kept[i]}`));
          // The score of a receiver is that of all that it stands for.
          const at = (position: number) => {
            const victims = joined[head].filter(([, to]) => to === position).map(([from]) => from);
            return [position, ...victims].reduce((sum, p) => sum + Math.exp(log_score[head][p]), 0);
          };
          const slots = rig.scratch(head, n);
          const old = kept.filter((position) => position < n - window);
          assertClose(old.map((position) => slots[position]), old.map(at), 1e-5, "score");
        });
        for (const { t, out } of per_step) assertOut(rig.step(q, k, v), out, `t = ${t}`);
      },
    });
  }
}

Deno.test({
  name: "massfold.json, tiny: of equal scores the earlier stays, and a victim joins the most alike",
  ignore: !present,
  fn: async () => {
    const wide = (rows: number[][]) => [rows.map((row) => [...row, 0, 0, 0, 0, 0, 0])];
    const k = wide([[1, 0], [1, 0.1], [0, 1], [1, 1]]);
    const v = wide([[2, 2], [8, 8], [4, 4], [0, 0]]);
    // A query of zeros weighs all alike.
    const q = wide(k[0].map(() => [0, 0]));
    const rig = await makeRig({
      nHeads: 1,
      nKvHeads: 1,
      headDim: 8,
      context: 4,
      prefill: "whole",
      policy: "massfold:window=1",
      budget: 3,
    });
    rig.prompt(q, k, v, 4);
    assertEquals(rig.kept(), [[0, 1, 3]]);
    assertClose(rig.biases(0), [0, Math.log(2), 0], 1e-6, "bias");
    assertEquals(rig.stored(0).v.map((row) => row.slice(0, 2)), file!.tiny.expected);
  },
});
