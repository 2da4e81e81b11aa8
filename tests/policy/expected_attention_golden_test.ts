import { assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig } from "./rig.ts";

type Steps = { t: number; out: number[][] }[];

interface Variant {
  readonly params: { budget: number; sinks: number; future: number; epsilon: number; ada_alpha: number };
  readonly mean_rotation: number[][];
  readonly score: number[][];
  readonly kept_prompt: number[][];
  readonly per_step: Steps;
  readonly ada_kept_prompt: number[][];
  readonly ada_per_step: Steps;
}

interface Tiny {
  readonly tiny: { readonly expected: number[][] };
}

const file = await golden<GoldenFile<Variant> & Tiny>("expected_attention.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  for (const adakv of [false, true]) {
    Deno.test({
      name: `expected_attention.json: scores, kept sets and outputs${adakv ? ", AdaKV" : ""} (${binary})`,
      ignore: !present,
      fn: async () => {
        const { n, q, k, v, rope_base, variants: { main } } = file!;
        const { params: { budget, sinks, future, epsilon, ada_alpha } } = main;
        const rig = await makeRig({
          ...shape(file!),
          binary,
          ropeBase: rope_base,
          policy: `expected_attention:sinks=${sinks},future=${future},epsilon=${epsilon}`,
          budgetRule: adakv ? `adakv:alpha=${ada_alpha}` : undefined,
          budget,
        });
        rig.prompt(q, k, v, n);
        main.score.forEach((wanted, head) =>
          assertClose(rig.scratch(head, n).slice(sinks), wanted, 1e-5, "score")
        );
        const { kept, steps } = adakv
          ? { kept: main.ada_kept_prompt, steps: main.ada_per_step }
          : { kept: main.kept_prompt, steps: main.per_step };
        assertEquals(rig.kept(), kept);
        for (const { t, out } of steps) assertOut(rig.step(q, k, v), out, `t = ${t}`);
      },
    });
  }

  Deno.test({
    name: `expected_attention.json: the mean rotation (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, rope_base, tiny, variants: { main: { params: { future }, mean_rotation } } } = file!;
      const rig = await makeRig({
        ...shape(file!),
        prefill: undefined,
        binary,
        ropeBase: rope_base,
        room: file!.head_dim,
      });
      for (
        const { start, count, wanted } of [
          { start: n, count: future, wanted: mean_rotation },
          { start: 0, count: 1, wanted: tiny.expected },
        ]
      ) {
        rig.kernels.stored.meanRotation(rig.room, rig.frequencies, start, count, 1);
        const pairs = rig.arena.floats(rig.room);
        const got = wanted.map((row, i) =>
          row.map((_, j) => {
            const [cos, sin] = pairs.subarray(i & ~1, (i & ~1) + 2);
            if ((i & ~1) !== (j & ~1)) return 0;
            return i === j ? cos : i < j ? -sin : sin;
          })
        );
        assertClose(got.flat(), wanted.flat(), 1e-6, "mean rotation");
      }
    },
  });
}
