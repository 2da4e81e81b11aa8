import { assert, assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { type Heads, makeRig } from "./rig.ts";

interface Pass {
  readonly t: number;
  readonly queries: number[];
  /** By KV head, in cache order. */
  readonly slots?: number[][];
  readonly out: number[][][];
  readonly sinks: number[][];
  readonly rings: number[][][];
  readonly score: number[][][];
}

interface Variant {
  readonly params: Record<string, number>;
  readonly per_step: Pass[];
}

interface Tiny {
  readonly tiny: { given: { score: number[] }; expected: number[][] };
}

const file = await golden<GoldenFile<Variant> & Tiny>("cascade.json");

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  for (const variant of ["main", "token_by_token"]) {
    Deno.test({
      name: `cascade.json: sinks, rings, scores and outputs of every pass, ${variant} (${binary})`,
      ignore: !present,
      fn: async () => {
        const { n, steps, kv_heads, rope_base, q, k, v, variants } = file!;
        const { params: { sinks, buffers, buffer_size, stride, beta }, per_step } = variants[variant];
        const rig = await makeRig({
          ...shape(file!),
          binary,
          policy: `cascading:sinks=${sinks},buffers=${buffers},beta=${beta}`,
          budget: sinks + buffers * buffer_size,
          ropeBase: rope_base,
          chunk: stride,
          prefill: "streaming",
        });
        assertEquals(rig.plan.positions, "compact");
        let compared = 0;
        while (rig.position < n + steps) {
          const first = rig.position;
          const pass = per_step.find(({ queries }) => queries[0] === first);
          const look = () => {
            if (pass?.slots) assertEquals(rig.kept(), pass.slots);
          };
          const out = first < n ? rig.prompt(q, k, v, stride, look) : [rig.step(q, k, v, look)];
          if (pass === undefined) continue;
          compared++;
          pass.out.forEach((rows, i) => assertOut(out[i], rows, `out of ${first + i}`));
          for (let head = 0; head < kv_heads; head++) {
            const oldestFirst = [...pass.rings[head]].reverse().flat();
            assertEquals(rig.kept()[head], [...pass.sinks[head], ...oldestFirst], `after ${first}`);
            const scores = [...pass.sinks[head].map(() => 0), ...[...pass.score[head]].reverse().flat()];
            assertClose(rig.scores(head), scores, 1e-5, `scores after ${first}`);
            const { offset, length } = rig.caches[0].rings!;
            const words = rig.arena.words({ kind: "u32", offset, length }).subarray(16 * head);
            assertEquals(
              [...words.subarray(0, 1 + buffers)],
              [pass.sinks[head], ...pass.rings[head]].map(({ length }) => length),
            );
          }
        }
        assert(compared === per_step.length);
        assertEquals(rig.brokenGuards(), []);
      },
    });
  }

  Deno.test({
    name:
      `cascade.json, tiny: a better token takes the newest place of a ring that does not take all (${binary})`,
    ignore: !present,
    fn: async () => {
      const { given: { score }, expected } = file!.tiny;
      const rig = await makeRig({
        binary,
        policy: "cascading:sinks=1,buffers=2,beta=1",
        budget: 5,
        ropeBase: 10000,
        chunk: 1,
        nHeads: 1,
        nKvHeads: 1,
        headDim: 8,
        context: score.length,
      });
      const zeros: Heads = [score.map(() => new Array(8).fill(0))];
      // Scores are what is given: beta 1 leaves them as they are.
      const scores = rig.arena.floats({ kind: "f32", ...rig.scoresPlace() });
      score.forEach((value, position) =>
        rig.prompt(zeros, zeros, zeros, 1, () => scores[rig.slots()[0].get(position)!] = value)
      );
      assertEquals(rig.kept()[0], [...expected[0], ...expected[2], ...expected[1]]);
    },
  });
}

Deno.test("cut back and read again, a cascade holds what it held", async () => {
  const random = (seed: number): Heads => [
    Array.from(
      { length: 200 },
      (_, t) => Array.from({ length: 8 }, (_, i) => Math.sin(seed * 1e4 + t * 37.7 + i * 91.3) * 3),
    ),
    Array.from(
      { length: 200 },
      (_, t) => Array.from({ length: 8 }, (_, i) => Math.sin(seed + t * 11.1 + i) * 3),
    ),
  ];
  const [q, k, v] = [random(1), random(2), random(3)];
  const options = { policy: "cascading:sinks=2,buffers=3", budget: 32, ropeBase: 10000, chunk: 8 };
  const sizes = { nHeads: 2, nKvHeads: 2, headDim: 8, context: 200 };
  const rig = await makeRig({ ...options, ...sizes });
  rig.prompt(q, k, v, 90);
  for (let i = 0; i < 20; i++) rig.step(q, k, v);
  rig.truncate(95);
  for (let i = 0; i < 60; i++) {
    const out = rig.step(q, k, v);
    assert(out.flat().every(Number.isFinite));
    assert(rig.kept().every((kept) => kept.length <= 32 && kept[0] === 0 && kept.at(-1) === 95 + i));
  }
  // Ring by ring from the latest: the first is as dense as the text.
  for (const kept of rig.kept()) assertEquals(kept.slice(-10), Array.from({ length: 10 }, (_, i) => 145 + i));
});
