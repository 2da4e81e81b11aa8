import { assertEquals } from "@std/assert";
import { assertOut, golden, type GoldenFile, present, shape } from "../policy/golden.ts";
import { makeRig, type Rig } from "../policy/rig.ts";

interface Think {
  readonly params: { lam: number; window: number };
  readonly kept_channels: number[][];
  readonly per_step: { out: number[][]; cut_keys: number }[];
}

/** The channels that each head keeps, and how many keys are cut. */
function look(rig: Rig, kept: number) {
  const { codec, keyDim, nKvHeads } = rig.caches[0];
  const words = rig.arena.words(codec!);
  return {
    channels: Array.from({ length: nKvHeads }, (_, head) => {
      const start = 24 + head * keyDim;
      return [...words.subarray(start, start + kept)];
    }),
    cut: words[1],
  };
}

Deno.test(
  { name: "think: channels, cut keys and outputs are the golden ones", ignore: !present },
  async () => {
    const file = (await golden<GoldenFile<Think>>("think.json"))!;
    const { params: { lam, window }, kept_channels, per_step } = file.variants.main;
    for (const binary of ["simd128", "relaxed"] as const) {
      const storage = `think:prune=${lam},window=${window},exact=f32`;
      const rig = await makeRig({ ...shape(file), prefill: undefined, binary, storage });
      rig.prompt(file.q, file.k, file.v, file.n);
      for (const [i, step] of per_step.entries()) {
        assertOut(rig.step(file.q, file.k, file.v), step.out, `step ${i + 1}`);
        assertEquals(look(rig, kept_channels[0].length), { channels: kept_channels, cut: step.cut_keys });
      }
      assertEquals(rig.brokenGuards(), []);
    }
  },
);

Deno.test(
  { name: "think: the tiny case keeps the channels of highest score", ignore: !present },
  async () => {
    const { tiny } = (await golden<{ tiny: { given: { lam: number }; expected: number[] } }>("think.json"))!;
    // Mean squares of queries 1, 25, 1, 0.01 and of keys 1, 0, 4, 1; the channels behind them are 0.
    const [q, k] = [[1, 5, 1, 0.1, 0, 0, 0, 0], [1, 0, 2, 1, 0, 0, 0, 0]];
    const rig = await makeRig({
      nHeads: 1,
      nKvHeads: 1,
      headDim: 8,
      context: 4,
      // Of eight channels two stay, as half of four.
      storage: `think:prune=${(8 - 4 * tiny.given.lam) / 8},window=1`,
    });
    const [queries, keys] = [[[q, q]], [[k, k]]];
    rig.prompt(queries, keys, keys, 2);
    assertEquals(look(rig, 2).channels, [tiny.expected]);
  },
);
