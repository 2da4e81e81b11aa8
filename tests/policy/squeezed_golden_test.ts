import { assert, assertEquals } from "@std/assert";
import type { SqueezedReader } from "../../src/cache/read/squeezed_reader.ts";
import { quantile } from "../../src/cache/read/squeezed_reader.ts";
import type { Binary } from "../../src/kernels/load.ts";
import type { Floats, Words } from "../../src/memory/handles.ts";
import { assertClose, assertOut, golden, type GoldenFile, present, shape } from "./golden.ts";
import { makeRig, type Rig } from "./rig.ts";

interface Variant {
  readonly params: { window: number; share: number; rho: number; coarse_share: number; rho_lower: number };
  readonly labels: number[][];
  readonly centroids: number[][][];
  readonly sizes: number[][];
  readonly threshold: number;
  readonly coarse_labels?: number[][];
  readonly coarse_centroids?: number[][][];
  readonly coarse_threshold?: number;
  readonly per_step: {
    t: number;
    queries: number[];
    score: number[][];
    kept_clusters: number[][];
    prefix_slots: number[][];
    out: number[][][];
    coarse_score?: number[][];
  }[];
}

interface More {
  readonly full_out: number[][][];
  readonly tiny: { readonly given: { k: number[][] }; readonly expected: [number[], number[][]] };
}

const file = await golden<GoldenFile<Variant> & More>("squeezed.json");
const BINARIES: readonly Binary[] = ["simd128", "relaxed"];

/** Reads the prefix and makes its index. */
function squeeze(rig: Rig, { n, q, k, v }: NonNullable<typeof file>): SqueezedReader {
  const reader = rig.storage as SqueezedReader;
  rig.prompt(q, k, v, n - reader.window);
  for (const _ of reader.cluster(n));
  rig.prompt(q, k, v, reader.window);
  reader.calibrate();
  return reader;
}

function optionsOf({ window, share, rho, coarse_share, rho_lower }: Variant["params"]): string {
  return `squeezed:window=${window},share=${share},rho=${rho},coarse=${coarse_share},rhoCoarse=${rho_lower}`;
}

/** Position in each slot of a KV head. */
function bySlot(rig: Rig, head: number): number[] {
  return [...rig.slots()[head]].sort(([, a], [, b]) => a - b).map(([position]) => position);
}

/** A part `[length]` of what a head keeps. */
function part(rig: Rig, handle: Floats | Words, head: number, length: number): number[] {
  const view = handle.kind === "f32" ? rig.arena.floats(handle) : rig.arena.words(handle);
  return [...view.subarray(head * length, (head + 1) * length)];
}

for (const binary of BINARIES) {
  for (const name of ["main", "hierarchical"]) {
    for (const order of ["found", "wanted"]) {
      Deno.test({
        name: `squeezed.json: clusters, thresholds, what is read, outputs: ${name}, ${order} (${binary})`,
        ignore: !present,
        fn: async () => {
          const { n, q, k, v, head_dim, variants } = file!;
          const { params, labels, centroids, sizes, threshold, per_step, ...coarse } = variants[name];
          const { prefill: _, ...shapes } = shape(file!);
          const read = `${optionsOf(params)},order=${order},prefix=${n}`;
          const rig = await makeRig({ ...shapes, binary, read });
          const reader = squeeze(rig, file!);
          const nClusters = sizes[0].length;
          const { state, scratch } = rig.caches[0];
          const index = reader.index!;
          assertEquals([index.fine, index.clustered], [nClusters, n - params.window]);
          assertClose([index.threshold], [threshold], 1e-5, "threshold");
          if (coarse.coarse_threshold !== undefined) {
            assertClose([index.coarseThreshold], [coarse.coarse_threshold], 1e-5, "coarse threshold");
          }

          // The cluster of the file that each of ours is, by the tokens it holds.
          const cluster = labels.map((labels, head) => {
            const starts = part(rig, state!.starts as Words, head, nClusters + 1);
            const slots = bySlot(rig, head);
            return Array.from({ length: nClusters }, (_, j) => {
              const own = slots.slice(starts[j], starts[j + 1]);
              const label = labels[own[0]];
              const wanted = [...labels.keys()].filter((position) => labels[position] === label);
              assertEquals(own.toSorted((a, b) => a - b), wanted, `cluster ${j} of head ${head}`);
              return label;
            });
          });
          cluster.forEach((cluster, head) => {
            if (name === "main" && order === "found") assertEquals(cluster, [...sizes[head].keys()]);
            const got = part(rig, state!.centroids as Floats, head, nClusters * head_dim);
            cluster.forEach((label, j) => {
              const row = got.slice(j * head_dim, (j + 1) * head_dim);
              assertClose(row, centroids[head][label], 1e-5, `centroid ${label}`);
            });
          });

          for (const { t, queries, score, kept_clusters, prefix_slots, out, coarse_score } of per_step) {
            const got = t === 0 ? rig.prompt(q, k, v, queries.length) : [rig.step(q, k, v)];
            got.forEach((rows, i) => assertOut(rows, out[i], `t = ${t}, query ${i}`));
            const bits = rig.arena.words(rig.caches[0].active!);
            prefix_slots.forEach((wanted, head) => {
              const first = head * rig.caches[0].capacity;
              const isRead = (slot: number) => (bits[(first + slot) >>> 5] >>> (slot & 31) & 1) === 1;
              const slots = bySlot(rig, head);
              const read = slots.filter((position, slot) => isRead(slot) && position < n);
              assertEquals(read.toSorted((a, b) => a - b), wanted, `what t = ${t} reads`);
              const probabilities = part(rig, scratch!.scores as Floats, head, nClusters);
              const alive = [...probabilities.keys()].filter((j) => probabilities[j] > 0);
              const scores = alive.map((j) => probabilities[j]);
              assertClose(scores, alive.map((j) => score[head][cluster[head][j]]), 1e-5, `t = ${t}`);
              const kept = alive.filter((j) => probabilities[j] > index.threshold).map((j) =>
                cluster[head][j]
              );
              assertEquals(kept.toSorted((a, b) => a - b), kept_clusters[head], `clusters, t = ${t}`);
              if (coarse_score !== undefined) {
                const coarse = part(rig, scratch!.coarseScores as Floats, head, index.coarse);
                assertClose(coarse, coarse_score[head], 1e-5, `coarse scores, t = ${t}`);
              }
            });
          }
          assertEquals(rig.brokenGuards(), []);
        },
      });
    }
  }

  Deno.test({
    name: `squeezed.json, tiny: clusters of directions, centroids of keys (${binary})`,
    ignore: !present,
    fn: async () => {
      const { given: { k: given }, expected: [labels, centroids] } = file!.tiny;
      const row = (values: number[]) => [...values, ...new Array(8 - values.length).fill(0)];
      const k = [[...given, [0, 0]].map(row)];
      const read = "squeezed:window=1,share=0.7,order=found";
      const rig = await makeRig({ nHeads: 1, nKvHeads: 1, headDim: 8, context: 5, binary, read });
      rig.prompt(k, k, k, 3);
      for (const _ of (rig.storage as SqueezedReader).cluster(4));
      const { starts, centroids: rows } = rig.caches[0].state!;
      const [first, ...ends] = part(rig, starts as Words, 0, 3);
      assertEquals([first, ...ends], [0, labels.filter((label) => label === 0).length, labels.length]);
      assertEquals(part(rig, rows as Floats, 0, 16), centroids.flatMap(row));
    },
  });
}

Deno.test({
  name: "squeezed: without an index, and cut back into the prefix, everything is read",
  ignore: !present,
  fn: async () => {
    const { n, q, k, v, full_out, variants: { main: { params } } } = file!;
    const { prefill: _, ...shapes } = shape(file!);
    const read = optionsOf(params);
    const rig = await makeRig({ ...shapes, read });
    const reader = rig.storage as SqueezedReader;
    rig.prompt(q, k, v, n);
    assertOut(rig.step(q, k, v), full_out[0], "no index");
    rig.truncate(0);
    const index = squeeze(rig, file!).index;
    assert(index !== null);
    rig.truncate(n - 1);
    assertEquals(reader.index, null);
    rig.prompt(q, k, v, 1);
    assertOut(rig.step(q, k, v), full_out[0], "cut back");
  },
});

Deno.test("quantiles lie between two scores as numpy has it", () => {
  const scores = [{ score: 3, tokens: 2 }, { score: 1, tokens: 1 }, { score: 9, tokens: 0 }, {
    score: 7,
    tokens: 1,
  }];
  // Of 1, 3, 3, 7.
  assertEquals([0, 0.25, 0.5, 0.9, 1].map((rho) => Math.round(quantile(scores, rho) * 1e6) / 1e6), [
    1,
    2.5,
    3,
    5.8,
    7,
  ]);
});
