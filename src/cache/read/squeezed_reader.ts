/**
 * Makes and reads the clusters of a fixed prefix.
 *
 *     prefix but its last tokens are read    every query reads everything
 *     cluster()                              k-means of each layer's keys; their slots are sorted by cluster
 *     last tokens of the prefix are read     ... and their queries say how much they want each cluster
 *     calibrate()                            thresholds; clusters that are wanted most lie together
 *     whatever follows                       reads the clusters above the threshold
 *
 * @module
 */
import { SnapshotError } from "../../error.ts";
import type { Level, Points } from "../../kernels/cluster_kernels.ts";
import type { Floats, LayerCache, Words } from "../../memory/handles.ts";
import type { AttentionDesk, AttentionRules, KvStorage, PrefixIndex } from "../storage.ts";
import { ActiveSlots } from "./active.ts";
import { isCount, PassingReader } from "./passing.ts";
import { clustersOf, type SqueezedScratch, type SqueezedState } from "./squeezed_space.ts";

/** Rounds of k-means at most. */
const ROUNDS = 10;

/** Parameters of the index. */
export interface SqueezedOptions {
  readonly window: number;
  readonly share: number;
  readonly rho: number;
  readonly coarse: number;
  readonly rhoCoarse: number;
  /** Whether clusters that are wanted most lie together. */
  readonly sorted: boolean;
}

/** Sizes and thresholds of an index. */
export interface SqueezedIndex {
  /** Tokens that are clustered, and those of the prefix. */
  readonly clustered: number;
  readonly prefix: number;
  /** Clusters per KV head. */
  readonly fine: number;
  readonly coarse: number;
  readonly threshold: number;
  readonly coarseThreshold: number;
}

/** A score that so many tokens have. */
interface Weighted {
  readonly score: number;
  readonly tokens: number;
}

/** See the module. */
export class SqueezedReader extends PassingReader implements PrefixIndex {
  readonly window: number;
  readonly most: number;
  readonly #options: SqueezedOptions;
  readonly #active: ActiveSlots;
  #phase: "none" | "calibrating" | "ready" = "none";
  #index: SqueezedIndex | null = null;

  constructor(rules: AttentionRules, storage: KvStorage, options: SqueezedOptions) {
    super(rules, storage);
    this.#options = options;
    this.window = options.window;
    const [{ scratch, nKvHeads }] = this.layers;
    this.most = options.window + scratch!.labels.length / nKvHeads;
    this.#active = new ActiveSlots(rules.kernels, this.layers[0].active!);
  }

  /** The index; none until there is one. */
  get index(): SqueezedIndex | null {
    return this.#phase === "ready" ? this.#index : null;
  }

  get prefixIndex(): PrefixIndex {
    return this;
  }

  /** The share of the clustered tokens' slots that the latest queries read in the last layer. */
  get readShare(): number {
    if (this.index === null) return 1;
    const counts = this.#active.count(this.layers.at(-1)!, this.index.clustered);
    return counts.reduce((a, b) => a + b) / counts.length / this.index.clustered;
  }

  override attend(layer: number, desk: AttentionDesk, first: number, n: number, scores: Floats | null): void {
    if (this.#phase === "ready") this.#choose(layer, desk, first, n);
    else this.#active.widen();
    if (this.#phase === "calibrating") this.#count(layer, desk, first, n);
    super.attend(layer, desk, first, n, scores);
  }

  *cluster(prefix: number): Generator<number> {
    const clustered = prefix - this.window;
    const { share, coarse } = this.#options;
    const sizes = {
      clustered,
      prefix,
      fine: clustersOf(share, clustered),
      coarse: clustersOf(coarse, clustered),
    };
    this.#index = { ...sizes, threshold: 0, coarseThreshold: 0 };
    for (const [layer, cache] of this.layers.entries()) {
      this.#clusterLayer(cache, this.#index);
      yield (layer + 1) / this.layers.length;
    }
    this.#phase = "calibrating";
  }

  calibrate(): void {
    const index = this.#index!;
    const { rho, rhoCoarse, sorted } = this.#options;
    const [fine, coarse]: Weighted[][] = [[], []];
    for (const cache of this.layers) {
      const [wanted, coarseWanted] = [cache.state!.wanted, cache.state!.coarseWanted] as Floats[];
      fine.push(...this.#weighted(cache, wanted, index.fine, false));
      if (index.coarse > 0) coarse.push(...this.#weighted(cache, coarseWanted, index.coarse, true));
    }
    this.#index = {
      ...index,
      threshold: quantile(fine, rho),
      coarseThreshold: index.coarse > 0 ? quantile(coarse, rhoCoarse) : 0,
    };
    // Slots change places by way of an empty one.
    for (const cache of this.layers) if (sorted && index.prefix < cache.capacity) this.#sort(cache, index);
    this.#phase = "ready";
  }

  /** k-means of both levels; slots lie by cluster afterwards, and fine clusters by coarse one. */
  #clusterLayer(cache: LayerCache, { clustered: n, fine: k, coarse: kCoarse }: SqueezedIndex): void {
    const { kernels: { clusters, buffer } } = this.rules;
    const { labels, order, groups } = scratchOf(cache);
    const [fine, coarse] = [levelOf(cache, k), coarseLevelOf(cache, kCoarse)];
    this.#kMeans(cache, labels, n, k, null);
    clusters.arrange(cache, fine.starts, labels, order, n, k);
    clusters.average(fine, { cache, n });
    const { wanted, coarseWanted } = cache.state! as Record<string, Floats>;
    for (const { offset, length } of [wanted, coarseWanted]) new Float32Array(buffer, offset, length).fill(0);
    if (kCoarse === 0) return;
    const { nKvHeads, keyDim: dim } = cache;
    const rows: Points = { rows: fine.centroids, n: k, nKvHeads, dim };
    this.#kMeans(cache, groups, k, kCoarse, fine.centroids);
    clusters.labels(labels, fine.starts, n, k, nKvHeads);
    clusters.arrange(cache, fine.starts, labels, order, n, k, groups);
    clusters.average(fine, { cache, n });
    this.#startRuns(cache, k, kCoarse);
    clusters.average(coarse, rows);
  }

  /** labels [G, n] = the clusters of `n` points of each KV head: its first keys, or rows `[G, n, d]`. */
  #kMeans(cache: LayerCache, labels: Words, n: number, k: number, points: Floats | null): void {
    const { clusters } = this.rules.kernels;
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
  #startRuns(cache: LayerCache, k: number, kCoarse: number): void {
    const { buffer } = this.rules.kernels;
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
  #sort(cache: LayerCache, { clustered: n, fine: k, coarse: kCoarse }: SqueezedIndex): void {
    const { clusters } = this.rules.kernels;
    const { labels, order, groups } = scratchOf(cache);
    const fine = levelOf(cache, k);
    if (kCoarse > 0) {
      clusters.labels(groups, coarseLevelOf(cache, kCoarse).starts, k, kCoarse, cache.nKvHeads);
    }
    clusters.labels(labels, fine.starts, n, k, cache.nKvHeads);
    const wanted = cache.state!.wanted as Floats;
    clusters.arrange(cache, fine.starts, labels, order, n, k, kCoarse > 0 ? groups : null, wanted);
    clusters.average(fine, { cache, n });
  }

  /** Adds what the queries of the window want. */
  #count(layer: number, desk: AttentionDesk, first: number, n: number): void {
    const { kernels: { clusters }, hparams: { nHeads, attentionScale: scale } } = this.rules;
    const cache = this.layers[layer];
    const { fine: k, coarse: kCoarse } = this.#index!;
    const { nKvHeads, keyDim: dim } = cache;
    const sizes = { nHeads, nKvHeads, dim, scale };
    const rate = nKvHeads / (nHeads * this.window);
    const { room } = scratchOf(cache);
    const { wanted, coarseWanted } = cache.state! as Record<string, Floats>;
    const fine = levelOf(cache, k);
    clusters.calibrate(wanted, room, fine, null, desk.q, first, n, sizes, rate);
    if (kCoarse === 0) return;
    const coarse = coarseLevelOf(cache, kCoarse);
    clusters.calibrate(coarseWanted, room, fine, coarse, desk.q, first, n, sizes, rate);
  }

  #choose(layer: number, desk: AttentionDesk, first: number, n: number): void {
    const { kernels: { clusters }, hparams: { nHeads, attentionScale } } = this.rules;
    const cache = this.layers[layer];
    const { fine, coarse, threshold, coarseThreshold } = this.#index!;
    this.#active.narrow();
    clusters.choose(
      cache,
      scratchOf(cache),
      levelOf(cache, fine),
      coarse === 0 ? null : coarseLevelOf(cache, coarse),
      desk.q,
      first,
      n,
      nHeads,
      attentionScale,
      threshold,
      coarseThreshold,
    );
  }

  /** What each cluster of a layer is wanted, with its number of tokens. */
  #weighted(cache: LayerCache, { offset }: Floats, k: number, ofCoarse: boolean): Weighted[] {
    const { buffer } = this.rules.kernels;
    const { fine } = this.#index!;
    const all = (handle: { readonly offset: number }, head: number, length: number) =>
      new Uint32Array(buffer, handle.offset + 4 * head * length, length);
    return Array.from({ length: cache.nKvHeads }, (_, head) => {
      const scores = new Float32Array(buffer, offset + 4 * head * k, k);
      const starts = all(levelOf(cache, fine).starts, head, fine + 1);
      const runs = ofCoarse ? all(coarseLevelOf(cache, k).starts, head, k + 1) : null;
      const end = (j: number) => starts[runs === null ? j : runs[j]];
      return Array.from(scores, (score, j) => ({ score, tokens: end(j + 1) - end(j) }));
    }).flat();
  }

  override truncated(position: number): void {
    super.truncated(position);
    if (this.#index !== null && position < this.#index.prefix && this.#phase === "ready") {
      this.#phase = "none";
    }
  }

  override reset(): void {
    super.reset();
    this.#phase = "none";
    this.#index = null;
  }

  override save(): unknown {
    return { inner: super.save(), index: this.index };
  }

  override restore(saved: unknown): () => void {
    const { inner, index } = (saved ?? {}) as { inner?: unknown; index?: SqueezedIndex | null };
    if (index === undefined || (index !== null && !this.#fits(index))) {
      throw new SnapshotError("index of the prefix", index, "one that this plan has room for");
    }
    const resume = super.restore(inner);
    return () => {
      resume();
      this.#index = index;
      this.#phase = index === null ? "none" : "ready";
    };
  }

  #fits({ clustered, prefix, fine, coarse, threshold, coarseThreshold }: SqueezedIndex): boolean {
    const { share, coarse: coarseShare, window } = this.#options;
    return isCount(clustered) && clustered > 0 && prefix === clustered + window && prefix <= this.most &&
      fine === clustersOf(share, clustered) && coarse === clustersOf(coarseShare, clustered) &&
      [threshold, coarseThreshold].every((x) => typeof x === "number");
  }
}

/** The score that the share `rho` of all tokens does not pass, between two of them as numpy has it. */
export function quantile(scores: readonly Weighted[], rho: number): number {
  const sorted = scores.filter(({ tokens }) => tokens > 0).sort((a, b) => a.score - b.score);
  const place = rho * (sorted.reduce((sum, { tokens }) => sum + tokens, 0) - 1);
  const at = (place: number) => {
    let end = 0;
    return sorted.find(({ tokens }) => (end += tokens) > place)?.score ?? 0;
  };
  const [low, high] = [at(Math.floor(place)), at(Math.ceil(place))];
  return low + (high - low) * (place - Math.floor(place));
}

function scratchOf(cache: LayerCache): SqueezedScratch {
  return cache.scratch as unknown as SqueezedScratch;
}

function levelOf(cache: LayerCache, k: number): Level {
  const { centroids, starts } = cache.state as unknown as SqueezedState;
  return { centroids, starts, k };
}

function coarseLevelOf(cache: LayerCache, k: number): Level {
  const { coarseCentroids, coarseStarts } = cache.state as unknown as SqueezedState;
  return { centroids: coarseCentroids, starts: coarseStarts, k };
}
