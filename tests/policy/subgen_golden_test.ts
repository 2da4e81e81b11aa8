import { assert, assertEquals } from "@std/assert";
import { type SketchShape, sketchSizes } from "../../src/kernels/sketch_kernels.ts";
import type { Binary } from "../../src/kernels/load.ts";
import type { SubgenReader } from "../../src/cache/read/subgen.ts";
import type { Words } from "../../src/memory/handles.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { type Heads, makeRig, type Rig } from "./rig.ts";

interface Cluster {
  readonly first: number;
  readonly n: number;
  readonly samples: number[];
}

interface Sampled {
  readonly params: { delta: number; key_samples: number; value_samples: number; recent: number };
  readonly u_key: Heads;
  readonly u_val: Heads;
  readonly per_step: {
    t: number;
    out: number[][];
    out_fold: number[][];
    mu: number[];
    value_samples: number[][];
    clusters: Cluster[][];
  }[];
}

interface KCenter {
  readonly params: { centres: number; recent: number };
  readonly kept_prompt: number[][];
  readonly per_step: { t: number; out: number[][] }[];
}

interface Tiny {
  readonly tiny: {
    readonly given: { k: number[] };
    readonly expected: [first: number, n: number, samples: number[]][];
  };
}

const file = await golden<GoldenFile<Sampled | KCenter> & Tiny>("subgen.json");
const BINARIES: readonly Binary[] = ["simd128", "relaxed"];

/** What a KV head's sketch holds, by the layout of `kernel/index/sketch.rs`. */
function sketchOf({ arena, caches: [cache] }: Rig, head: number, sizes: SketchShape) {
  const { clusters, keySamples, valueSamples } = sizes;
  const { words: length } = sketchSizes(sizes, cache.keyDim, cache.valueDim);
  const words = arena.words(cache.state!.sketchWords as Words).subarray(head * length, (head + 1) * length);
  const of = (start: number, n: number) => [...words.subarray(start, start + n)];
  const samples = 4 + 2 * clusters;
  return {
    mu: new Float32Array(words.slice(2, 3).buffer)[0],
    clusters: Array.from({ length: words[0] }, (_, i): Cluster => ({
      first: words[4 + clusters + i],
      n: words[4 + i],
      samples: of(samples + i * keySamples, keySamples),
    })),
    values: of(samples + clusters * keySamples, valueSamples),
  };
}

/** Hands given draws to the reader, `[G, positions, keys + values]`. */
function giveDraws(rig: Rig, keys: Heads, values: Heads): void {
  const positions = keys[0].length;
  rig.arena.floats(rig.room).set(
    keys.flatMap((rows, head) => rows.flatMap((row, i) => [...row, ...values[head][i]])),
  );
  (rig.storage as SubgenReader).given = { values: rig.room, positions };
}

for (const binary of BINARIES) {
  Deno.test({
    name: `subgen.json: clusters, samples and outputs of the estimator (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, steps, kv_heads, q, k, v, variants } = file!;
      const { params: { delta, key_samples, value_samples, recent }, u_key, u_val, per_step } = variants
        .main as Sampled;
      const clusters = 40;
      const rig = await makeRig({
        ...shape(file!),
        binary,
        policy:
          `subgen:form=sample,delta=${delta},keys=${key_samples},values=${value_samples},clusters=${clusters}`,
        budget: recent,
        room: kv_heads * (n + steps) * (key_samples + value_samples),
      });
      giveDraws(rig, u_key, u_val);
      rig.prompt(q, k, v, n);
      for (const { t, out, mu, value_samples: samples, clusters: wanted } of per_step) {
        assertOut(rig.step(q, k, v), out, `t = ${t}`);
        for (let head = 0; head < kv_heads; head++) {
          const sizes = { clusters, keySamples: key_samples, valueSamples: value_samples };
          const got = sketchOf(rig, head, sizes);
          assertEquals(got.clusters, wanted[head], `clusters, t = ${t}`);
          assertEquals(got.values, samples[head], `value samples, t = ${t}`);
          assertClose([got.mu], [mu[head]], 1e-5, `mu, t = ${t}`);
          assertEquals(rig.kept()[head].length, recent);
        }
      }
      assertEquals(rig.brokenGuards(), []);
    },
  });

  Deno.test({
    name: `subgen.json: the folded form (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants } = file!;
      const { params: { delta, recent }, per_step } = variants.main as Sampled;
      for (const options of [{}, { prefill: "streaming", chunk: 8 }] as const) {
        const rig = await makeRig({
          ...shape(file!),
          ...options,
          binary,
          policy: `subgen:delta=${delta},clusters=40`,
          budget: recent,
        });
        rig.prompt(q, k, v, n);
        for (const { t, out_fold, clusters } of per_step) {
          assertOut(rig.step(q, k, v), out_fold, `t = ${t}`);
          clusters.forEach((wanted, head) => {
            const sizes = { clusters: 40, keySamples: 0, valueSamples: 0 };
            const got = sketchOf(rig, head, sizes).clusters;
            assertEquals(got, wanted.map(({ first, n }) => ({ first, n, samples: [] })), `t = ${t}`);
          });
        }
      }
    },
  });

  Deno.test({
    name: `subgen.json, k_center: kept sets and outputs (${binary})`,
    ignore: !present,
    fn: async () => {
      const { n, q, k, v, variants } = file!;
      const { params: { centres, recent }, kept_prompt, per_step } = variants.k_center as KCenter;
      const policy = `k_center:recent=${recent}`;
      const rig = await makeRig({ ...shape(file!), binary, policy, budget: centres + recent });
      rig.prompt(q, k, v, n);
      assertEquals(rig.kept(), kept_prompt);
      for (const { t, out } of per_step) assertOut(rig.step(q, k, v), out, `t = ${t}`);
    },
  });

  Deno.test({
    name: `subgen.json, tiny: two clusters, and draws that always replace (${binary})`,
    ignore: !present,
    fn: async () => {
      const { given: { k: given }, expected } = file!.tiny;
      const k = [[...given, 0, 0].map((x) => [x, 0, 0, 0, 0, 0, 0, 0])];
      const n = given.length;
      const rig = await makeRig({
        nHeads: 1,
        nKvHeads: 1,
        headDim: 8,
        context: n + 2,
        prefill: "whole",
        scale: 1,
        binary,
        policy: "subgen:form=sample,delta=1,keys=2,values=1,clusters=4",
        budget: 2,
        room: 3 * (n + 2),
      });
      const zeros = (width: number) => [Array.from({ length: n + 2 }, () => new Array(width).fill(0))];
      giveDraws(rig, zeros(2), zeros(1));
      rig.prompt(k, k, k, n);
      rig.step(k, k, k);
      rig.step(k, k, k);
      const got = sketchOf(rig, 0, { clusters: 4, keySamples: 2, valueSamples: 1 }).clusters;
      assertEquals(got, expected.map(([first, n, samples]) => ({ first, n, samples })));
    },
  });
}

Deno.test({
  name: "subgen: with no token out of the recent ones nothing differs from plain attention",
  ignore: !present,
  fn: async () => {
    const { n, q, k, v } = file!;
    const sizes = shape(file!);
    const rig = await makeRig({ ...sizes, policy: "subgen", budget: sizes.context });
    const full = await makeRig({ ...sizes, prefill: undefined });
    assertEquals(rig.prompt(q, k, v, n), full.prompt(q, k, v, n));
    assertEquals(rig.step(q, k, v), full.step(q, k, v));
  },
});

Deno.test({
  name: "subgen: the same seed samples the same, another one differently; a reset forgets",
  ignore: !present,
  fn: async () => {
    const { n, q, k, v } = file!;
    const run = async (seed: number) => {
      const policy = `subgen:form=sample,clusters=4,values=8,seed=${seed}`;
      const rig = await makeRig({ ...shape(file!), policy, budget: 8 });
      rig.prompt(q, k, v, n);
      const first = rig.step(q, k, v);
      rig.truncate(0);
      rig.prompt(q, k, v, n);
      assertEquals(rig.step(q, k, v), first);
      return first;
    };
    assertEquals(await run(1), await run(1));
    assert(JSON.stringify(await run(1)) !== JSON.stringify(await run(2)));
  },
});
