import { assert, assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

interface Step {
  readonly query: number;
  readonly kept: number[][];
  readonly last_important: number[][];
  readonly out?: number[][];
}

interface Variant {
  readonly params: { window: number; recent: number; chunk: number; threshold_count: "kept" | "true" };
  readonly per_step: Step[];
}

interface Tiny {
  readonly tiny: {
    readonly given: { exp_logits: number[]; window: number; recent: number };
    readonly expected: number[];
  };
}

const file = await golden<GoldenFile<Variant> & Tiny>("corm.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  for (const name of ["main", "true_step", "chunk8"]) {
    Deno.test({
      name: `corm.json: kept sets, last important queries and outputs, ${name} (${binary})`,
      ignore: !present,
      fn: async () => {
        const { n, q, k, v, variants } = file!;
        const { params: { window, recent, chunk, threshold_count }, per_step } = variants[name];
        const count = threshold_count === "kept" ? "kept" : "all";
        const rig = await makeRig({
          ...shape(file!),
          prefill: "streaming",
          chunk,
          binary,
          policy: `corm:window=${window},recent=${recent},count=${count}`,
          budget: 64,
        });
        const check = ({ query, kept, last_important, out }: Step, got: number[][]) => {
          assertEquals(rig.kept(), kept, `query ${query}`);
          last_important.forEach((wanted, head) => assertEquals(rig.scores(head), wanted, `query ${query}`));
          if (out !== undefined) assertOut(got, out, `query ${query}`);
        };
        const prompt = per_step.filter(({ query }) => query < n);
        let done = 0;
        const rows = rig.prompt(
          q,
          k,
          v,
          n,
          undefined,
          () => check({ ...prompt[done++], out: undefined }, []),
        );
        assertEquals(done, prompt.length);
        assertOut(rows.at(-1)!, prompt.at(-1)!.out!, "last row of the prompt");
        for (const step of per_step.filter(({ query }) => query >= n)) check(step, rig.step(q, k, v));
      },
    });
  }
}

Deno.test({
  name: "corm: the budget caps what stays, and the longest unimportant leave first",
  ignore: !present,
  fn: async () => {
    const { n, q, k, v, variants: { main: { params: { window, recent } } } } = file!;
    const policy = `corm:window=${window},recent=${recent}`;
    const free = await makeRig({ ...shape(file!), policy, budget: 64 });
    const capped = await makeRig({ ...shape(file!), policy, budget: 8 });
    for (const rig of [free, capped]) rig.prompt(q, k, v, n);
    capped.kept().forEach((kept, head) => {
      const all = free.kept()[head];
      const score = new Map(all.map((position, i) => [position, free.scores(head)[i]]));
      const wanted = all.filter((position) => position < n - recent)
        .sort((a, b) => score.get(b)! - score.get(a)! || a - b).slice(0, 8 - recent);
      assert(all.length > 8);
      assertEquals(kept, [...wanted, ...all.slice(-recent)].sort((a, b) => a - b));
    });
  },
});

Deno.test({
  name: "corm.json, tiny: a key that always matters stays, the others leave with the window",
  ignore: !present,
  fn: async () => {
    const { given: { exp_logits, window, recent }, expected } = file!.tiny;
    const n = exp_logits.length;
    const row = (x: number) => [x, 0, 0, 0, 0, 0, 0, 0];
    const q = [exp_logits.map(() => row(1))];
    const k = [exp_logits.map((x) => row(Math.log(x)))];
    const policy = `corm:window=${window},recent=${recent}`;
    const rig = await makeRig({
      nHeads: 1,
      nKvHeads: 1,
      headDim: 8,
      context: n,
      prefill: "whole",
      scale: 1,
      policy,
      budget: 4,
    });
    rig.prompt(q, k, k, n - 1);
    rig.step(q, k, k);
    assertEquals(rig.kept()[0], expected);
  },
});
