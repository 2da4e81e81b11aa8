import { assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

interface Step {
  readonly t: number;
  readonly slots: number[];
  readonly score: number[];
  readonly kept: number[];
  readonly out: number[][];
}

type Streaming = { params: { sinks: number; recent: number }; kept_prompt: number[]; per_step: Step[] };
type Tova = { params: { budget: number }; prompt: Step; per_step: Step[] };
type SnapKv = {
  params: { budget: number; window: number; pool: number; pooling: string };
  score: number[][];
  kept_prompt: number[][];
  per_step: Step[];
};

const streaming = await golden<GoldenFile<Streaming>>("streaming.json");
const tova = await golden<GoldenFile<Tova>>("tova.json");
const snapkv = await golden<GoldenFile<SnapKv>>("snapkv.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  Deno.test({
    name: `streaming.json: kept sets and outputs at compact positions (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants: { main: { params: { sinks, recent }, kept_prompt, per_step } } } =
        streaming!;
      const policy = `streaming_llm:sinks=${sinks}`;
      const ropeBase = streaming!.rope_base;
      const rig = await makeRig({ ...shape(streaming!), binary, policy, ropeBase, budget: sinks + recent });
      assertEquals(rig.plan.positions, "compact");
      rig.prompt(q, k, v, n);
      for (const kept of rig.kept()) assertEquals(kept, kept_prompt);
      for (const { t, slots, kept: wanted, out } of per_step) {
        const got = rig.step(q, k, v, () => rig.kept().forEach((kept) => assertEquals(kept, slots)));
        out.forEach((wanted, head) => assertClose(got[head], wanted, 1e-5, `out, t = ${t}`));
        for (const kept of rig.kept()) assertEquals(kept, wanted);
      }
    },
  });

  Deno.test({
    name: `tova.json: kept sets, scores and outputs (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants: { main: { params: { budget }, prompt, per_step } } } = tova!;
      const rig = await makeRig({ ...shape(tova!), binary, policy: "tova", budget });
      for (const { t, slots, score, kept, out } of [prompt, ...per_step]) {
        const look = () => {
          for (const kept of rig.kept()) assertEquals(kept, slots);
          assertClose(rig.scores(0), score, 1e-5, `score, t = ${t}`);
        };
        const got = t === 0 ? rig.prompt(q, k, v, n, look).at(-1)! : rig.step(q, k, v, look);
        for (const held of rig.kept()) assertEquals(held, kept);
        out.forEach((wanted, head) => assertClose(got[head], wanted, 1e-4, `out, t = ${t}`));
      }
    },
  });

  Deno.test({
    name: `snapkv.json: pooled scores, kept sets and outputs, mean and max (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants } = snapkv!;
      for (
        const { params: { budget, window, pool, pooling }, score, kept_prompt, per_step } of Object.values(
          variants,
        )
      ) {
        const policy = `snapkv:window=${window},pool=${pool},pooling=${pooling}`;
        const rig = await makeRig({ ...shape(snapkv!), binary, policy, budget });
        rig.prompt(q, k, v, n);
        score.forEach((wanted, head) => assertClose(rig.scratch(head, wanted.length), wanted, 1e-5, "score"));
        assertEquals(rig.kept(), kept_prompt);
        for (const { t, out } of per_step) {
          const got = rig.step(q, k, v);
          out.forEach((wanted, head) => assertClose(got[head], wanted, 1e-4, `out, t = ${t}`));
        }
        const generated = per_step.map((_, i) => n + i);
        assertEquals(rig.kept(), kept_prompt.map((kept) => [...kept, ...generated]));
      }
    },
  });
}
