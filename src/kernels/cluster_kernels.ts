/**
 * The kernels of clusters of keys, typed; see `kernels.ts`. T tokens, H heads, G KV heads, d width of a key.
 *
 * @module
 */
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { activeOf, check, offsetOf } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Steps of k-means. */
const STEP = { seed: 0, assign: 1, means: 2 } as const;

/** What clusters hold: the keys of each KV head's first `n` slots, or plain rows `[G, n, d]`. */
export type Points = { readonly cache: LayerCache; readonly n: number } | {
  readonly rows: Floats;
  readonly n: number;
  readonly nKvHeads: number;
  readonly dim: number;
};

/** What k-means of one KV head works on. */
export interface KMeansSpace {
  /** `[n, d]`, `[k, d]`, `[n]`. */
  readonly rows: Floats;
  readonly centres: Floats;
  readonly labels: Words;
  /** As many as there are rows or centres. */
  readonly distances: Floats;
}

/** Clusters of one level: `[G, k, d]` and `[G, k + 1]`. */
export interface Level {
  readonly centroids: Floats;
  /** First slot of each cluster; of a coarse one, its first fine cluster. */
  readonly starts: Words;
  /** Clusters of each KV head. */
  readonly k: number;
}

/** Floats of room that looking up `k` clusters takes. */
export function lookupRoom(k: number): number {
  return 5 * k;
}

/** What looking clusters up works in: `scores [G, k]` of both levels, and room. */
export interface LookupSpace {
  readonly scores: Floats;
  readonly coarseScores: Floats;
  readonly room: Floats;
}

/** Typed calls of one instance's cluster kernels. */
export class ClusterKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** rows [n, d] = the directions of the keys in a KV head's first n slots. */
  rows(rows: Floats, cache: LayerCache, head: number, n: number): void {
    const { keys, slots, nKvHeads, keyDim, capacity, keyType } = cache;
    check(rows.length >= n * keyDim, "cluster_rows", "rows");
    check(n <= capacity && head < nKvHeads, "cluster_rows", "n or head");
    this.#raw.cluster_rows(
      rows.offset,
      keys.offset,
      slots.offset,
      n,
      head,
      nKvHeads,
      keyDim,
      capacity,
      keyType,
    );
  }

  /** Places centres [k, d] on rows far from each other. */
  seed(space: KMeansSpace, n: number, k: number, dim: number): void {
    this.#step(space, n, k, dim, STEP.seed);
  }

  /** Labels [n] = nearest centres; how many have changed. */
  assign(space: KMeansSpace, n: number, k: number, dim: number): number {
    return this.#step(space, n, k, dim, STEP.assign);
  }

  /** Centres = means of their rows' directions. */
  means(space: KMeansSpace, n: number, k: number, dim: number): void {
    this.#step(space, n, k, dim, STEP.means);
  }

  #step(
    { centres, labels, distances, rows }: KMeansSpace,
    n: number,
    k: number,
    dim: number,
    step: number,
  ): number {
    check(centres.length >= k * dim, "cluster_step", "centres");
    check(labels.length >= n && distances.length >= Math.max(n, k), "cluster_step", "labels or distances");
    check(rows.length >= n * dim, "cluster_step", "rows");
    return this.#raw.cluster_step(
      centres.offset,
      labels.offset,
      distances.offset,
      rows.offset,
      n,
      k,
      dim,
      step,
    );
  }

  /**
   * Sorts the first n slots of each KV head by cluster: clusters by `groups` [G, k], then by falling `wanted` [G, k], where
   * given. starts [G, k + 1] = where each begins. `labels` [G, n] are used up; `order` [k] is scratch.
   */
  arrange(
    cache: LayerCache,
    starts: Words,
    labels: Words,
    order: Words,
    n: number,
    k: number,
    groups: Words | null = null,
    wanted: Floats | null = null,
  ): void {
    const { keys, values, slots, nKvHeads, keyDim, valueDim, capacity, keyType, valueType } = cache;
    check(n < capacity && labels.length >= nKvHeads * n, "cluster_arrange", "labels");
    check(starts.length >= nKvHeads * (k + 1) && order.length >= k, "cluster_arrange", "starts or order");
    check(groups === null || groups.length >= nKvHeads * k, "cluster_arrange", "groups");
    check(wanted === null || wanted.length >= nKvHeads * k, "cluster_arrange", "wanted");
    this.#raw.cluster_arrange(
      keys.offset,
      values.offset,
      slots.offset,
      starts.offset,
      labels.offset,
      order.offset,
      offsetOf(groups),
      offsetOf(wanted),
      n,
      k,
      nKvHeads,
      keyDim,
      valueDim,
      capacity,
      keyType,
      valueType,
    );
  }

  /** labels [G, n] = the run of starts [G, k + 1] that each slot or row lies in. */
  labels(labels: Words, starts: Words, n: number, k: number, nKvHeads: number): void {
    check(labels.length >= nKvHeads * n, "cluster_labels", "labels");
    check(starts.length >= nKvHeads * (k + 1), "cluster_labels", "starts");
    this.#raw.cluster_labels(labels.offset, starts.offset, n, k, nKvHeads);
  }

  /** Centroids of a level = means of the points in its runs. */
  average({ centroids, starts, k }: Level, points: Points): void {
    const { nKvHeads, dim, keys, slots, capacity, keyType } = open(points);
    check(centroids.length >= nKvHeads * k * dim, "cluster_average", "centroids");
    check(starts.length >= nKvHeads * (k + 1), "cluster_average", "starts");
    this.#raw.cluster_average(
      centroids.offset,
      starts.offset,
      keys,
      slots,
      points.n,
      k,
      nKvHeads,
      dim,
      capacity,
      keyType,
    );
  }

  /**
   * sums [G, k] += rate times the probability that the queries q [T, H, d], from `first` on, give each key of a cluster, of
   * `fine`, or of `coarse` with runs of the fine ones.
   */
  calibrate(
    sums: Floats,
    room: Floats,
    fine: Level,
    coarse: Level | null,
    q: Floats,
    first: number,
    n: number,
    { nHeads, nKvHeads, dim, scale }: { nHeads: number; nKvHeads: number; dim: number; scale: number },
    rate: number,
  ): void {
    const { centroids, k } = coarse ?? fine;
    check(sums.length >= nKvHeads * k && room.length >= lookupRoom(k), "cluster_calibrate", "sums or room");
    check(q.length >= (first + n) * nHeads * dim, "cluster_calibrate", "q");
    this.#raw.cluster_calibrate(
      sums.offset,
      room.offset,
      centroids.offset,
      fine.starts.offset,
      offsetOf(coarse?.starts),
      q.offset + 4 * first * nHeads * dim,
      n,
      nHeads,
      nKvHeads,
      k,
      coarse === null ? 0 : fine.k,
      dim,
      scale,
      rate,
    );
  }

  /**
   * The cache's `active` = the slots that the queries q [T, H, d], from `first` on, read together: of the clusters those
   * above the thresholds, and all behind them.
   */
  choose(
    cache: LayerCache,
    { scores, coarseScores, room }: LookupSpace,
    fine: Level,
    coarse: Level | null,
    q: Floats,
    first: number,
    n: number,
    nHeads: number,
    scale: number,
    threshold: number,
    coarseThreshold: number,
  ): void {
    const { nKvHeads, keyDim, capacity } = cache;
    check(scores.length >= nKvHeads * fine.k, "cluster_choose", "scores");
    check(room.length >= lookupRoom(fine.k), "cluster_choose", "room");
    check(coarseScores.length >= nKvHeads * (coarse?.k ?? 0), "cluster_choose", "coarse scores");
    check(q.length >= (first + n) * nHeads * keyDim, "cluster_choose", "q");
    this.#raw.cluster_choose(
      activeOf(cache, "cluster_choose"),
      scores.offset,
      coarseScores.offset,
      room.offset,
      fine.centroids.offset,
      fine.starts.offset,
      coarse === null ? fine.centroids.offset : coarse.centroids.offset,
      coarse === null ? fine.starts.offset : coarse.starts.offset,
      q.offset + 4 * first * nHeads * keyDim,
      n,
      nHeads,
      nKvHeads,
      fine.k,
      coarse?.k ?? 0,
      keyDim,
      capacity,
      scale,
      threshold,
      coarseThreshold,
    );
  }
}

function open(points: Points) {
  if ("rows" in points) {
    const { rows, nKvHeads, dim } = points;
    check(rows.length >= nKvHeads * points.n * dim, "cluster", "rows");
    return { nKvHeads, dim, keys: rows.offset, slots: 0, capacity: 0, keyType: 0 };
  }
  const { nKvHeads, keyDim: dim, keys, slots, capacity, keyType } = points.cache;
  check(points.n <= capacity, "cluster", "slots");
  return { nKvHeads, dim, keys: keys.offset, slots: slots.offset, capacity, keyType };
}
