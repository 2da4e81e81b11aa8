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
import { isCount } from "../../count.ts";
import { SnapshotError } from "../../error.ts";
import type { Floats, LayerCache } from "../../memory/handles.ts";
import type { AttentionDesk, AttentionRules, KvStorage, PrefixIndex } from "../storage.ts";
import { ActiveSlots } from "./active.ts";
import { PassingReader } from "./passing.ts";
import { clusterLayer, sortByWanted } from "./squeezed_clusters.ts";
import { clustersOf, coarseLevelOf, levelOf, scratchOf, stateOf } from "./squeezed_space.ts";

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
    const [cache] = this.layers;
    this.most = options.window + scratchOf(cache).labels.length / cache.nKvHeads;
    this.#active = new ActiveSlots(rules.kernels, this.layers[0].active!);
  }

  /** The index; none until there is one. */
  get index(): SqueezedIndex | null {
    return this.#phase === "ready" ? this.#index : null;
  }

  get prefixIndex(): PrefixIndex {
    return this;
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
      clusterLayer(this.rules.kernels, cache, this.#index);
      yield (layer + 1) / this.layers.length;
    }
    this.#phase = "calibrating";
  }

  calibrate(): void {
    const index = this.#index!;
    const { rho, rhoCoarse, sorted } = this.#options;
    const [fine, coarse]: Weighted[][] = [[], []];
    for (const cache of this.layers) {
      const { wanted, coarseWanted } = stateOf(cache);
      fine.push(...this.#weighted(cache, wanted, index.fine, false));
      if (index.coarse > 0) coarse.push(...this.#weighted(cache, coarseWanted, index.coarse, true));
    }
    this.#index = {
      ...index,
      threshold: quantile(fine, rho),
      coarseThreshold: index.coarse > 0 ? quantile(coarse, rhoCoarse) : 0,
    };
    // Slots change places by way of an empty one.
    for (const cache of this.layers) {
      if (sorted && index.prefix < cache.capacity) sortByWanted(this.rules.kernels, cache, index);
    }
    this.#phase = "ready";
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
    const { wanted, coarseWanted } = stateOf(cache);
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
