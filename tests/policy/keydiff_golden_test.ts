import { assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

interface Variant {
  readonly params: { budget: number; block: number };
  readonly one_shot_kept: number[][];
  readonly kept_after_block: number[][][];
  readonly per_step: { t: number; slots: number[][]; score: number[][]; kept: number[][]; out: number[][] }[];
}

interface Tiny {
  readonly tiny: { readonly given: { k: number[][] }; readonly expected: number[] };
}

const file = await golden<GoldenFile<Variant> & Tiny>("keydiff.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  Deno.test({
    name: `keydiff.json: kept sets at once, by blocks and by tokens, scores and outputs (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants: { main } } = file!;
      const { params: { budget, block }, one_shot_kept, kept_after_block, per_step } = main;
      const options = { ...shape(file!), binary, policy: "keydiff", budget };
      const atOnce = await makeRig(options);
      atOnce.prompt(q, k, v, n);
      assertEquals(atOnce.kept(), one_shot_kept);

      const rig = await makeRig({ ...options, prefill: "streaming", chunk: block });
      const after: number[][][] = [];
      rig.prompt(q, k, v, n, undefined, () => after.push(rig.kept()));
      assertEquals(after.slice(-kept_after_block.length), kept_after_block);
      for (const { t, slots, score, kept, out } of per_step) {
        const before: Map<number, number>[] = [];
        const got = rig.step(q, k, v, () => {
          before.push(...rig.slots());
          assertEquals(rig.kept(), slots);
        });
        assertOut(got, out, `t = ${t}`);
        score.forEach((wanted, head) => {
          const all = rig.scratch(head, rig.caches[0].capacity);
          assertClose(slots[head].map((p) => all[before[head].get(p)!]), wanted, 1e-5, `score, t = ${t}`);
        });
        assertEquals(rig.kept(), kept, `t = ${t}`);
      }
    },
  });
}

Deno.test({
  name: "keydiff.json, tiny: the odd key stays",
  ignore: !present,
  fn: async () => {
    const { given: { k }, expected } = file!.tiny;
    const wide = [k.map((row) => [...row, 0, 0, 0, 0, 0, 0])];
    // A recent token beside it, since a budget has two slots at least.
    const all = [[...wide[0], [1, 0, 0, 0, 0, 0, 0, 0]]];
    const n = all[0].length;
    const rig = await makeRig({
      nHeads: 1,
      nKvHeads: 1,
      headDim: 8,
      context: n,
      prefill: "whole",
      policy: "keydiff:recent=1",
      budget: 2,
    });
    rig.prompt(all, all, all, n);
    assertEquals(rig.kept()[0], [...expected, n - 1]);
  },
});
