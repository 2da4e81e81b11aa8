import { assertEquals } from "@std/assert";
import { anchorPolicy } from "../../src/cache/policies/anchor.ts";
import type { Binary } from "../../src/kernels/load.ts";
import { assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { type Heads, makeRig } from "./rig.ts";

interface Variant {
  readonly params: { anchors: number[]; anchor_sees_anchors: boolean };
  readonly kept_prompt: number[];
  readonly prompt_out: number[][][];
  readonly prompt_out_cross_layer_last?: number[][];
  readonly per_step: {
    t: number;
    visible: number[];
    out: number[][];
    out_cross_layer?: number[][];
    kept: number[];
  }[];
}

interface More {
  readonly layer1: { q: Heads; k: Heads; v: Heads };
  readonly tiny: { readonly given: { anchors: number[] }; readonly expected: number[][] };
}

const file = await golden<GoldenFile<Variant> & More>("anchor.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  for (const name of ["main", "anchor_own_segment"]) {
    for (const chunk of [undefined, 5]) {
      Deno.test({
        name: `anchor.json: outputs of both layers and kept sets, ${name}, chunk ${
          chunk ?? "whole"
        } (${binary})`,
        ignore: !present,
        fn: async () => {
          const { n, q, k, v, layer1, rope_base, variants } = file!;
          const { params: { anchors, anchor_sees_anchors }, kept_prompt, prompt_out, per_step, ...more } =
            variants[name];
          const sees = anchor_sees_anchors ? "anchors" : "segment";
          const sizes = shape(file!);
          const rig = await makeRig({
            ...sizes,
            binary,
            chunk,
            prefill: chunk === undefined ? "whole" : "streaming",
            nLayers: 2,
            inputs: [{ q, k, v }, layer1],
            ropeBase: rope_base,
            policy: anchorPolicy(["."], { sees, layers: [0, 0] }),
            budget: sizes.context,
            classes: anchors,
          });
          let done = 0;
          rig.prompt(q, k, v, n, () => {
            for (const out of rig.outputs[0]) assertOut(out, prompt_out[done], `prompt ${done++}`);
          });
          if (more.prompt_out_cross_layer_last !== undefined) {
            assertOut(rig.outputs[1].at(-1)!, more.prompt_out_cross_layer_last, "prompt, across layers");
          }
          for (const kept of rig.kept()) assertEquals(kept, kept_prompt);
          for (const { t, out, out_cross_layer, kept: wanted } of per_step) {
            rig.step(q, k, v);
            assertOut(rig.outputs[0][0], out, `t = ${t}`);
            if (out_cross_layer !== undefined) {
              assertOut(rig.outputs[1][0], out_cross_layer, `t = ${t}, across layers`);
            }
            for (const layer of [0, 1]) {
              for (const kept of rig.kept(layer)) assertEquals(kept, wanted, `kept, t = ${t}`);
            }
          }
          assertEquals(rig.brokenGuards(), []);
        },
      });
    }
  }

  Deno.test({
    name: `anchor.json, tiny: what queries see (${binary})`,
    ignore: !present,
    fn: async () => {
      const { given: { anchors }, expected } = file!.tiny;
      const n = 7;
      // All keys are alike, and a value tells its position: attention is the mean over what is seen.
      const zeros = [Array.from({ length: n }, () => new Array(8).fill(0))];
      const v = [Array.from({ length: n }, (_, i) => Array.from({ length: 8 }, (_, c) => i === c ? 1 : 0))];
      const seen = async (sees: "anchors" | "segment") => {
        const policy = `anchor:sees=${sees}`;
        const rig = await makeRig({
          nHeads: 1,
          nKvHeads: 1,
          headDim: 8,
          context: n,
          binary,
          policy,
          budget: n,
          classes: anchors,
        });
        const out = rig.prompt(zeros, zeros, v, n);
        return out.map(([row]) => [...row.keys()].filter((position) => row[position] > 1e-3));
      };
      const all = await seen("anchors");
      assertEquals([all[4], all[5], all[6], (await seen("segment"))[5]], expected);
    },
  });
}
