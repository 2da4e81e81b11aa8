import { assert, assertEquals } from "@std/assert";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { probeParams } from "./probe_seed.ts";
import { type Heads, makeRig } from "./rig.ts";

interface Zipvl {
  readonly params: { probes: number[]; tau: number };
  readonly mass: number[];
  readonly count: number;
  readonly important: number[];
  /** `[important][head][dim]` */
  readonly prompt_out_important: number[][][];
  readonly per_step: { out: number[][] }[];
}

Deno.test({ name: "zipvl: mass, tokens and outputs are the golden ones", ignore: !present }, async () => {
  const file = (await golden<GoldenFile<Zipvl>>("zipvl.json"))!;
  const { v2 } = file.variants;
  const { n, heads, kv_heads, head_dim } = file;
  const probes = await probeParams(v2.params.probes, n);
  for (const binary of ["simd128", "relaxed"] as const) {
    const rig = await makeRig({
      ...shape(file),
      binary,
      policy: `zipvl:tau=${v2.params.tau},${probes}`,
      budget: 1,
      room: 4 * n * heads * head_dim,
    });
    const look = () => assertClose(rig.scores(0), v2.mass, 1e-5, "mass");
    rig.prompt(file.q, file.k, file.v, n, look);
    assertEquals(rig.kept(), new Array(kv_heads).fill(v2.important));

    // Rows of tokens that stay, over tokens that stay: what the sparse prompt computes.
    const { offset } = rig.room;
    const floats = (at: number, length: number) => ({
      kind: "f32" as const,
      offset: offset + 4 * at,
      length,
    });
    const rows = v2.important.length;
    const size = rows * heads * head_dim;
    const [q, out, lse] = [floats(0, size), floats(size, size), floats(2 * size, rows * heads)];
    const positions = {
      kind: "u32" as const,
      offset: floats(2 * size + rows * heads, 0).offset,
      length: rows,
    };
    const view = rig.arena.floats(q);
    v2.important.forEach((position, t) => {
      for (let h = 0; h < heads; h++) view.set(file.q[h][position], (t * heads + h) * head_dim);
    });
    rig.arena.words(positions).set(v2.important);
    const scale = 1 / Math.sqrt(head_dim);
    rig.kernels.cache.attend(out, null, lse, q, rig.caches[0], positions, null, rows, heads, scale, 0, 0);
    v2.prompt_out_important.forEach((wanted, t) => {
      const got = Array.from({ length: heads }, (_, h) => {
        const start = (t * heads + h) * head_dim;
        return [...rig.arena.floats(out).subarray(start, start + head_dim)];
      });
      assertOut(got, wanted, `sparse row ${t}`);
    });

    for (const [i, step] of v2.per_step.entries()) {
      assertOut(rig.step(file.q, file.k, file.v), step.out, `step ${i + 1}`);
    }
    assertEquals(rig.brokenGuards(), []);
  }
});

Deno.test({ name: "zipvl: the tiny case keeps two of three tokens", ignore: !present }, async () => {
  const { tiny } = (await golden<{ tiny: { given: { mass: number[]; tau: number }; expected: number } }>(
    "zipvl.json",
  ))!;
  const { mass, tau } = tiny.given;
  // One probe, the last row, whose logits are the logarithms of the masses.
  const rig = await makeRig({
    nHeads: 1,
    nKvHeads: 1,
    headDim: 8,
    context: 8,
    scale: 1,
    policy: `zipvl:tau=${tau},recent=1,random=0`,
    budget: 1,
    prefill: "whole",
  });
  const row = (x: number) => [x, 0, 0, 0, 0, 0, 0, 0];
  const [q, k]: Heads[] = [[[row(1), row(1), row(1)]], [mass.map((p) => row(Math.log(p)))]];
  rig.prompt(q, k, k, 3);
  // The two largest masses, of tokens 1 and 2; the last one is the second of them.
  assertEquals(rig.kept(), [[1, 2]]);
  assertEquals(rig.kept()[0].length, tiny.expected);
});

Deno.test("zipvl: in a model layers keep shares of their own, under the cap of the budget, streamed or whole", async () => {
  const shares = async (policy: string, budget: number, prefill: "whole" | "streaming") => {
    const model = await loadBundled({ policy, budget, prefill, chunk: 64 });
    const sequence = model.sequence();
    await sequence.prefill(model.tokenizer.encode(LONG_TEXT).slice(0, 400));
    sequence.decode(1);
    const { kept, slots } = sequence.cache();
    assertEquals(model.brokenGuards(), []);
    model.dispose();
    return { kept: kept.map(({ min, max }) => [min, max]), slots };
  };
  const [less, more] = [
    await shares("zipvl:tau=0.8", 1, "whole"),
    await shares("zipvl:tau=0.97", 1, "whole"),
  ];
  less.kept.forEach(([min, max], layer) => {
    assertEquals(min, max);
    assert(max < more.kept[layer][0] && max > 0);
  });
  assert(new Set(less.kept.map(([min]) => min)).size > 1, "all layers keep the same");
  assertEquals((await shares("zipvl:tau=1", 60, "whole")).slots, 61);
  const { slots } = await shares("zipvl:tau=0.8,recent=16,random=16", 100, "streaming");
  assert(slots <= 101);
});
