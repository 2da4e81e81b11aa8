import { assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

interface Variant {
  readonly params: {
    separators: number[];
    init: number;
    max_separators: number;
    local: number;
    capacity: number;
  };
  readonly kept_prompt: number[];
  readonly per_step: { t: number; slots: number[]; kept: number[]; out: number[][] }[];
}

interface Tiny {
  readonly tiny: { readonly given: { separators: number[] }; readonly expected: number[] };
}

const file = await golden<GoldenFile<Variant> & Tiny>("sepllm.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  Deno.test({
    name: `sepllm.json: kept sets and outputs (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants: { main: { params, kept_prompt, per_step } } } = file!;
      const { init, max_separators, local, capacity, separators } = params;
      const policy = `sepllm:sinks=${init},recent=${local},separators=${max_separators}`;
      const rig = await makeRig({ ...shape(file!), binary, policy, budget: capacity, classes: separators });
      rig.prompt(q, k, v, n);
      for (const kept of rig.kept()) assertEquals(kept, kept_prompt);
      for (const { t, slots, kept: wanted, out } of per_step) {
        const look = () => rig.kept().forEach((kept) => assertEquals(kept, slots, `slots, t = ${t}`));
        assertOut(rig.step(q, k, v, look), out, `t = ${t}`);
        for (const kept of rig.kept()) assertEquals(kept, wanted, `kept, t = ${t}`);
      }
    },
  });

  Deno.test({
    name: `sepllm.json, tiny: one separator between (${binary})`,
    ignore: !present,
    fn: async () => {
      const { given: { separators }, expected } = file!.tiny;
      const rows = [Array.from({ length: 8 }, () => new Array(8).fill(0))];
      const rig = await makeRig({
        nHeads: 1,
        nKvHeads: 1,
        headDim: 8,
        context: 8,
        prefill: "whole",
        binary,
        policy: "sepllm:sinks=1,recent=2,separators=1",
        budget: 7,
        classes: separators,
      });
      rig.prompt(rows, rows, rows, 8);
      assertEquals(rig.kept()[0], expected);
    },
  });
}
