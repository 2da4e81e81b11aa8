/**
 * Makes the clusters of a fixed prefix, a layer at a time: k-means of its keys, and of their centroids where there are two
 * levels. Slots lie by cluster, so that those of one are neighbours when they are read.
 *
 * @module
 */
import type { Points } from "../../kernels/cluster_kernels.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import type { Floats, LayerCache, Words } from "../../memory/handles.ts";
import { coarseLevelOf, levelOf, scratchOf, stateOf } from "./squeezed_space.ts";

/** Rounds of k-means at most. */
const ROUNDS = 10;

/** Tokens that are clustered, and clusters per KV head. */
interface Sizes {
  readonly clustered: number;
  readonly fine: number;
  readonly coarse: number;
}

/** k-means of both levels; slots lie by cluster afterwards, and fine clusters by coarse one. */
export function clusterLayer(
  kernels: Kernels,
  cache: LayerCache,
  { clustered: n, fine: k, coarse: kCoarse }: Sizes,
): void {
  const { clusters, buffer } = kernels;
  const { labels, order, groups } = scratchOf(cache);
  const [fine, coarse] = [levelOf(cache, k), coarseLevelOf(cache, kCoarse)];
  kMeans(kernels, cache, labels, n, k, null);
  clusters.arrange(cache, fine.starts, labels, order, n, k);
  clusters.average(fine, { cache, n });
  const { wanted, coarseWanted } = stateOf(cache);
  for (const { offset, length } of [wanted, coarseWanted]) new Float32Array(buffer, offset, length).fill(0);
  if (kCoarse === 0) return;
  const { nKvHeads, keyDim: dim } = cache;
  const rows: Points = { rows: fine.centroids, n: k, nKvHeads, dim };
  kMeans(kernels, cache, groups, k, kCoarse, fine.centroids);
  clusters.labels(labels, fine.starts, n, k, nKvHeads);
  clusters.arrange(cache, fine.starts, labels, order, n, k, groups);
  clusters.average(fine, { cache, n });
  startRuns(kernels, cache, k, kCoarse);
  clusters.average(coarse, rows);
}

/** labels [G, n] = the clusters of `n` points of each KV head: its first keys, or rows `[G, n, d]`. */
function kMeans(
  kernels: Kernels,
  cache: LayerCache,
  labels: Words,
  n: number,
  k: number,
  points: Floats | null,
): void {
  const { clusters } = kernels;
  const { rows, centres, distances } = scratchOf(cache);
  const { keyDim: dim } = cache;
  for (let head = 0; head < cache.nKvHeads; head++) {
    const own = { ...labels, offset: labels.offset + 4 * head * n, length: n };
    if (points === null) clusters.rows(rows, cache, head, n);
    const given = points === null
      ? rows
      : { ...points, offset: points.offset + 4 * head * n * dim, length: n * dim };
    const space = { rows: given, centres, distances, labels: own };
    clusters.seed(space, n, k, dim);
    for (let round = 0;; round++) {
      const changed = clusters.assign(space, n, k, dim);
      // In the first round labels are those of another layer.
      if (round === ROUNDS || (round > 0 && changed === 0)) break;
      clusters.means(space, n, k, dim);
    }
  }
}

/** Where the run of each coarse cluster begins among the fine ones, which are sorted by it. */
function startRuns(kernels: Kernels, cache: LayerCache, k: number, kCoarse: number): void {
  const { buffer } = kernels;
  const { groups } = scratchOf(cache);
  const { starts } = coarseLevelOf(cache, kCoarse);
  const all = new Uint32Array(buffer, groups.offset, cache.nKvHeads * k);
  for (let head = 0; head < cache.nKvHeads; head++) {
    const runs = new Uint32Array(buffer, starts.offset + 4 * head * (kCoarse + 1), kCoarse + 1).fill(0);
    for (const group of all.subarray(head * k, (head + 1) * k)) runs[group + 1]++;
    for (let i = 0; i < kCoarse; i++) runs[i + 1] += runs[i];
  }
}

/** Clusters that are wanted most come first, within each coarse one. */
export function sortByWanted(
  kernels: Kernels,
  cache: LayerCache,
  { clustered: n, fine: k, coarse: kCoarse }: Sizes,
): void {
  const { clusters } = kernels;
  const { labels, order, groups } = scratchOf(cache);
  const fine = levelOf(cache, k);
  if (kCoarse > 0) {
    clusters.labels(groups, coarseLevelOf(cache, kCoarse).starts, k, kCoarse, cache.nKvHeads);
  }
  clusters.labels(labels, fine.starts, n, k, cache.nKvHeads);
  const { wanted } = stateOf(cache);
  clusters.arrange(cache, fine.starts, labels, order, n, k, kCoarse > 0 ? groups : null, wanted);
  clusters.average(fine, { cache, n });
}
