import { assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

interface Variant {
  readonly params: { keep_percent: number; start: number; distance: number };
  readonly importance: number[];
  readonly buckets: number[][];
  readonly merged: { k: number[][][]; v: number[][][] };
  readonly per_step: { t: number; deleted: number | null; kept: number[]; out: number[][] }[];
}

interface Tiny {
  readonly tiny: { readonly given: { importance: number[] }; readonly expected: number[][] };
}

const file = await golden<GoldenFile<Variant> & Tiny>("elastic.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  Deno.test({
    name: `elastic.json: importance, merged keys and values, deletions and outputs (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants: { main } } = file!;
      const { params: { keep_percent, start, distance }, importance, buckets, merged, per_step } = main;
      const rig = await makeRig({
        ...shape(file!),
        binary,
        policy: `elastic:start=${start},distance=${distance}`,
        budget: keep_percent / 100,
      });
      rig.prompt(q, k, v, n, () => assertClose(rig.scores(0), importance, 1e-5, "importance"));
      rig.kept().forEach((kept, head) => {
        assertEquals(kept.length, buckets.length);
        // A slot keeps the position of its anchor, which lies in its bucket.
        kept.forEach((position, i) => assertEquals(buckets[i].includes(position), true));
        const { k, v } = rig.stored(head);
        assertClose(k.flat(), merged.k[head].flat(), 1e-5, "keys");
        assertClose(v.flat(), merged.v[head].flat(), 1e-5, "values");
      });
      for (const { t, deleted, kept, out } of per_step) {
        const before: number[][] = [];
        assertOut(rig.step(q, k, v, () => before.push(...rig.kept())), out, `t = ${t}`);
        rig.kept().forEach((held, head) => {
          assertEquals(held, kept, `t = ${t}`);
          const gone = before[head].filter((position) => !held.includes(position));
          assertEquals(gone, deleted === null ? [] : [deleted], `t = ${t}`);
        });
      }
    },
  });
}

Deno.test({
  name: "elastic.json, tiny: of two anchors as near the earlier gets the token",
  ignore: !present,
  fn: async () => {
    const { given: { importance }, expected } = file!.tiny;
    const n = importance.length;
    const marked = [importance.map((_, i) => [1 << i, 0, 0, 0, 0, 0, 0, 0])];
    // With the same logits in every row, what a token draws falls with its position but for its own key.
    const q = [importance.map(() => [1, 0, 0, 0, 0, 0, 0, 0])];
    const k = [importance.map((x) => [10 * Math.log(x), 0, 0, 0, 0, 0, 0, 0])];
    const rig = await makeRig({
      nHeads: 1,
      nKvHeads: 1,
      headDim: 8,
      context: n,
      scale: 1,
      prefill: "whole",
      policy: "elastic:start=1",
      budget: 0.5,
    });
    rig.prompt(q, k, marked, n);
    assertEquals(rig.kept()[0], [0, 2, 6, 7]);
    const means = expected.map((bucket) => bucket.reduce((sum, i) => sum + (1 << i), 0) / bucket.length);
    assertClose(rig.stored(0).v.map(([x]) => x), means, 1e-6, "buckets");
  },
});
