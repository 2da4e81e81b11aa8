import { assert, assertEquals } from "@std/assert";
import type { Binary } from "../../src/kernels/load.ts";
import { assertClose } from "./golden.ts";
import { type Heads, makeRig } from "./rig.ts";

const [H, G, D, N, CHUNK, SINKS] = [4, 2, 8, 40, 16, 2];
const BASE = 10000;

/** Numbers from a seed, in [-2, 2). */
function heads(seed: number, nHeads: number): Heads {
  let state = seed;
  const draw = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 30 - 2;
  return Array.from(
    { length: nHeads },
    () => Array.from({ length: N }, () => Array.from({ length: D }, draw)),
  );
}

/** A vector turned to a position. */
function rope(x: readonly number[], position: number): number[] {
  return x.map((value, i) => {
    const angle = position * BASE ** (-(i & ~1) / D);
    const other = x[i ^ 1] * (i % 2 === 0 ? -1 : 1);
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

/** Scores `[G][T]` of the tokens from `start` on, in double precision, from two copies of the chunk. */
function oracle(q: Heads, k: Heads, start: number, n: number): number[][] {
  return k.map((keys, g) => {
    const scores = new Array<number>(n).fill(0);
    for (let h = g * H / G; h < (g + 1) * H / G; h++) {
      for (let j = 0; j < n; j++) {
        const query = rope(q[h][start + j], start + n + j);
        const weight = (key: readonly number[], position: number) =>
          Math.exp(rope(key, position).reduce((sum, x, i) => sum + x * query[i], 0) / Math.sqrt(D));
        const sinks = keys.slice(0, Math.min(SINKS, start)).map((key, i) => weight(key, i));
        const cached = keys.slice(start, start + n).map((key, i) => weight(key, start + i));
        const copies = keys.slice(start, start + j + 1).map((key, i) => weight(key, start + n + i));
        const total = [...sinks, ...cached, ...copies].reduce((a, b) => a + b);
        cached.forEach((x, i) => scores[i] = Math.max(scores[i], x / total));
      }
    }
    return scores;
  });
}

for (const binary of ["simd128", "relaxed"] as Binary[]) {
  for (const prefill of ["whole", "streaming"] as const) {
    Deno.test(`reconstruction: scores and kept sets of the definition, ${prefill} (${binary})`, async () => {
      const [q, k, v] = [heads(1, H), heads(2, G), heads(3, G)];
      const budget = 14;
      const rig = await makeRig({
        nHeads: H,
        nKvHeads: G,
        headDim: D,
        context: N + 4,
        chunk: CHUNK,
        ropeBase: BASE,
        binary,
        prefill,
        policy: `reconstruction:sinks=${SINKS}`,
        budget,
      });
      const held: Map<number, number>[] = Array.from({ length: G }, () => new Map());
      let start = 0;
      rig.prompt(q, k, v, N, () => {
        const n = Math.min(CHUNK, N - start);
        oracle(q, k, start, n).forEach((scores, head) => {
          scores.forEach((score, i) => held[head].set(start + i, score));
          const wanted = [...held[head].keys()].sort((a, b) => a - b);
          assertEquals(rig.kept()[head], wanted);
          assertClose(rig.scores(head), wanted.map((position) => held[head].get(position)!), 1e-5, "score");
        });
        start += n;
        if (prefill === "whole" && start < N) return;
        for (const scores of held) {
          const free = [...scores].filter(([position]) => position >= SINKS);
          const leaving = free.sort(([p, a], [r, b]) => a - b || r - p).slice(
            0,
            Math.max(0, scores.size - budget),
          );
          leaving.forEach(([position]) => scores.delete(position));
        }
      });
      rig.kept().forEach((kept, head) => assertEquals(kept, [...held[head].keys()].sort((a, b) => a - b)));
      assert(rig.kept().every((kept) => kept.length === budget));
      assertEquals(rig.brokenGuards(), []);
    });
  }
}
