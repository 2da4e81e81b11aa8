/**
 * The kernels of indexes beside a cache, and of classes of tokens, typed; see `kernels.ts`. T tokens, H heads, G KV
 * heads, d width of a key.
 *
 * @module
 */
import type { Bytes, Floats, LayerCache, Words } from "../memory/handles.ts";
import { check, offsetOf } from "./arguments.ts";
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

/** What looking clusters up works in: `scores [G, k]` of both levels, and `logits [2 k]`. */
export interface LookupSpace {
  readonly scores: Floats;
  readonly coarseScores: Floats;
  readonly logits: Floats;
}

/** Sizes of a sketch. */
export interface SketchShape {
  readonly clusters: number;
  /** Of each cluster; 0: folded, without samples of keys and values. */
  readonly keySamples: number;
  readonly valueSamples: number;
}

/** The sketches of all KV heads of a layer. */
export interface Sketch extends SketchShape {
  readonly words: Words;
  readonly floats: Floats;
}

/** Draws in place of hashed ones, `[G, positions, keySamples + valueSamples]`. */
export interface GivenDraws {
  readonly values: Floats;
  readonly positions: number;
}

/** Pages of a KV head that there is room for: whole groups of four. */
export function pagesOf(capacity: number, page: number): number {
  return 4 * Math.ceil(capacity / page / 4);
}

/** Words and floats of one KV head's sketch, as the kernels lay it out. */
export function sketchSizes(
  { clusters, keySamples, valueSamples }: SketchShape,
  keyDim: number,
  valueDim: number,
): { words: number; floats: number } {
  const ofCluster = keyDim * (1 + keySamples) + (keySamples === 0 ? valueDim : 0);
  return {
    words: 4 + clusters * (2 + keySamples) + valueSamples,
    floats: clusters * ofCluster + valueSamples * (keyDim + valueDim),
  };
}

/** Typed calls of one instance's index kernels. */
export class IndexKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** Takes the keys k [T, G, d] that have just been appended into the bounds [G, pages / 4, 2, d, 4] of their pages. */
  pageExtend(bounds: Floats, k: Floats, cache: LayerCache, positions: Words, n: number, page: number): void {
    check(k.length >= n * cache.nKvHeads * cache.keyDim, "page_extend", "k");
    check(positions.length >= n && n > 0, "page_extend", "positions");
    this.#pageExtend(bounds, k.offset, cache, positions.offset, n, page);
  }

  /** Makes all bounds anew from the stored keys. */
  pageRebuild(bounds: Floats, cache: LayerCache, page: number): void {
    this.#pageExtend(bounds, 0, cache, 0, 0, page);
  }

  #pageExtend(
    bounds: Floats,
    k: number,
    cache: LayerCache,
    positions: number,
    n: number,
    page: number,
  ): void {
    const { keys, slots, nKvHeads, keyDim, capacity, keyType } = cache;
    check(bounds.length >= nKvHeads * pagesOf(capacity, page) * 2 * keyDim, "page_extend", "bounds");
    this.#raw.page_extend(
      bounds.offset,
      k,
      keys.offset,
      slots.offset,
      positions,
      n,
      nKvHeads,
      keyDim,
      capacity,
      page,
      keyType,
    );
  }

  /**
   * The cache's `active` = the slots of the `nRead` pages per KV head that the query q [H, d] at `position` reads;
   * scores [G, pages] = bounds of its products.
   */
  pageChoose(
    scores: Floats,
    bounds: Floats,
    q: Floats,
    cache: LayerCache,
    position: number,
    nHeads: number,
    page: number,
    nRead: number,
  ): void {
    const { slots, nKvHeads, keyDim, capacity } = cache;
    const pages = nKvHeads * pagesOf(capacity, page);
    check(scores.length >= pages && bounds.length >= 2 * pages * keyDim, "page_choose", "scores or bounds");
    check(q.length >= nHeads * keyDim, "page_choose", "q");
    this.#raw.page_choose(
      activeOf(cache, "page_choose"),
      scores.offset,
      bounds.offset,
      q.offset,
      slots.offset,
      position,
      nHeads,
      nKvHeads,
      keyDim,
      capacity,
      page,
      nRead,
    );
  }

  /** rows [n, d] = the directions of the keys in a KV head's first n slots. */
  clusterRows(rows: Floats, cache: LayerCache, head: number, n: number): void {
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
  clusterSeed(space: KMeansSpace, n: number, k: number, dim: number): void {
    this.#step(space, n, k, dim, STEP.seed);
  }

  /** Labels [n] = nearest centres; how many have changed. */
  clusterAssign(space: KMeansSpace, n: number, k: number, dim: number): number {
    return this.#step(space, n, k, dim, STEP.assign);
  }

  /** Centres = means of their rows' directions. */
  clusterMeans(space: KMeansSpace, n: number, k: number, dim: number): void {
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
  clusterArrange(
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
  clusterLabels(labels: Words, starts: Words, n: number, k: number, nKvHeads: number): void {
    check(labels.length >= nKvHeads * n, "cluster_labels", "labels");
    check(starts.length >= nKvHeads * (k + 1), "cluster_labels", "starts");
    this.#raw.cluster_labels(labels.offset, starts.offset, n, k, nKvHeads);
  }

  /** Centroids of a level = means of the points in its runs. */
  clusterAverage({ centroids, starts, k }: Level, points: Points): void {
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
  clusterCalibrate(
    sums: Floats,
    logits: Floats,
    fine: Level,
    coarse: Level | null,
    q: Floats,
    first: number,
    n: number,
    { nHeads, nKvHeads, dim, scale }: { nHeads: number; nKvHeads: number; dim: number; scale: number },
    rate: number,
  ): void {
    const { centroids, k } = coarse ?? fine;
    check(sums.length >= nKvHeads * k && logits.length >= k, "cluster_calibrate", "sums or logits");
    check(q.length >= (first + n) * nHeads * dim, "cluster_calibrate", "q");
    this.#raw.cluster_calibrate(
      sums.offset,
      logits.offset,
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
  clusterChoose(
    cache: LayerCache,
    { scores, coarseScores, logits }: LookupSpace,
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
    check(scores.length >= nKvHeads * fine.k && logits.length >= 2 * fine.k, "cluster_choose", "scores");
    check(coarseScores.length >= nKvHeads * (coarse?.k ?? 0), "cluster_choose", "coarse scores");
    check(q.length >= (first + n) * nHeads * keyDim, "cluster_choose", "q");
    this.#raw.cluster_choose(
      activeOf(cache, "cluster_choose"),
      scores.offset,
      coarseScores.offset,
      logits.offset,
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

  /** scores [G, capacity]: of the slots at positions below `last`, `wanted` far from each other get `wanted` to 1, others 0. */
  farApart(scores: Floats, cache: LayerCache, last: number, wanted: number): void {
    const { keys, slots, nKvHeads, keyDim, capacity, keyType } = cache;
    check(scores.length >= nKvHeads * capacity, "far_apart", "scores");
    this.#raw.far_apart(
      scores.offset,
      keys.offset,
      slots.offset,
      nKvHeads,
      keyDim,
      capacity,
      keyType,
      last,
      wanted,
    );
  }

  /** Moves the tokens at positions below `before` from the cache into the sketch. */
  sketchFeed(
    sketch: Sketch,
    cache: LayerCache,
    before: number,
    layer: number,
    { seed, delta, scale }: { seed: number; delta: number; scale: number },
    given: GivenDraws | null,
  ): void {
    const { words, floats, clusters, keySamples, valueSamples } = sketch;
    const { keys, values, slots, nKvHeads, keyDim, valueDim, capacity, keyType, valueType } = cache;
    checkSketch(sketch, cache, "sketch_feed");
    const stride = keySamples + valueSamples;
    check(
      given === null || given.values.length >= nKvHeads * given.positions * stride,
      "sketch_feed",
      "draws",
    );
    this.#raw.sketch_feed(
      words.offset,
      floats.offset,
      keys.offset,
      values.offset,
      slots.offset,
      offsetOf(given?.values),
      before,
      nKvHeads,
      keyDim,
      valueDim,
      capacity,
      clusters,
      keySamples,
      valueSamples,
      given === null ? 0 : given.positions,
      keyType,
      valueType,
      seed,
      layer,
      delta,
      scale,
    );
  }

  /** Joins the sketch to attention over the slots, out [T, H, dv] from `first` on and lse [H, T]. */
  sketchRead(
    out: Floats,
    lse: Floats,
    q: Floats,
    sketch: Sketch,
    cache: LayerCache,
    first: number,
    n: number,
    nHeads: number,
    scale: number,
  ): void {
    const { words, floats, clusters, keySamples, valueSamples } = sketch;
    const { nKvHeads, keyDim, valueDim } = cache;
    checkSketch(sketch, cache, "sketch_read");
    check(out.length >= (first + n) * nHeads * valueDim, "sketch_read", "out");
    check(lse.length >= n * nHeads, "sketch_read", "lse");
    check(q.length >= (first + n) * nHeads * keyDim, "sketch_read", "q");
    this.#raw.sketch_read(
      out.offset + 4 * first * nHeads * valueDim,
      lse.offset,
      q.offset + 4 * first * nHeads * keyDim,
      words.offset,
      floats.offset,
      n,
      nHeads,
      nKvHeads,
      keyDim,
      valueDim,
      clusters,
      keySamples,
      valueSamples,
      scale,
    );
  }

  /** marks [rows, capacity] of the slots of `ids` [T] at `positions` [T] = whether their class [V] is not 0. */
  classMark(marks: Floats, cache: LayerCache, ids: Words, positions: Words, classes: Bytes, n: number): void {
    const { slots, nKvHeads, capacity } = cache;
    const rows = Math.floor(marks.length / capacity);
    check(rows === 1 || rows === nKvHeads, "class_mark", "marks");
    check(ids.length >= n && positions.length >= n, "class_mark", "ids or positions");
    this.#raw.class_mark(
      marks.offset,
      slots.offset,
      ids.offset,
      positions.offset,
      classes.offset,
      rows,
      n,
      classes.length,
      nKvHeads,
      capacity,
    );
  }

  /**
   * Where a KV head holds more than `over` slots: of the positions from `first` to `last` the unmarked leave, and of the
   * marked all but the latest `most`.
   */
  classThin(
    cache: LayerCache,
    marks: Floats,
    { over, first, last, most }: { over: number; first: number; last: number; most: number },
  ): void {
    const { slots, nKvHeads, capacity } = cache;
    const rows = Math.floor(marks.length / capacity);
    check(rows === 1 || rows === nKvHeads, "class_thin", "marks");
    this.#raw.class_thin(slots.offset, marks.offset, rows, nKvHeads, capacity, over, first, last, most);
  }

  /** Empties the slots of the positions from `from` to `to`. */
  evictRange({ slots, nKvHeads, capacity }: LayerCache, from: number, to: number): void {
    this.#raw.kv_evict_range(slots.offset, nKvHeads, capacity, from, to);
  }
}

function activeOf({ active, nKvHeads, capacity }: LayerCache, kernel: string): number {
  check(active !== undefined && 32 * active.length >= nKvHeads * capacity, kernel, "active");
  return active!.offset;
}

function checkSketch(sketch: Sketch, { nKvHeads, keyDim, valueDim }: LayerCache, kernel: string): void {
  const { words, floats } = sketchSizes(sketch, keyDim, valueDim);
  check(sketch.words.length >= nKvHeads * words, kernel, "words");
  check(sketch.floats.length >= nKvHeads * floats, kernel, "floats");
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
