/**
 * The kernels that cache policies are made of, typed; see `kernels.ts`. Scores are `[rows, capacity]`: a row per query
 * head, per KV head, or one for the layer.
 *
 * @module
 */
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { check, offsetOf } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Ids of what may be added to logits before they become scores. */
export const NOISE = { none: 0, gumbel: 1, gaussian: 2, given: 3 } as const;

/** Ids of what a score is of the weights that a slot got. */
export const REDUCE = { sum: 0, max: 1, latest: 2, latestOfAll: 3 } as const;

/** How softmax weights become scores: by default their plain sum. */
export interface ObserveOptions {
  readonly noise: keyof typeof NOISE;
  readonly seed: number;
  /**
   * The `sum` of the weights or the largest, `max`; or `latest`: the position of the last query whose plain weight was
   * at least one over the keys that it read (`latestOfAll`: over its position + 1, as if nothing had been evicted).
   */
  readonly reduce: keyof typeof REDUCE;
  /** Factor on every weight. */
  readonly weight: number;
  /** Factor on what is there, once per token. */
  readonly decay: number;
  /** Temperature, at least {@link MIN_TAU}. */
  readonly tau: number;
}

/** Below this temperature weights would leave the range of floats. */
export const MIN_TAU = 0.5;

/** Noise `[H, stride, stride]` by positions of query and key, for runs that must draw given numbers. */
export interface GivenNoise {
  readonly values: Floats;
  readonly stride: number;
}

/** Typed calls of one instance's policy kernels. */
export class PolicyKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /**
   * scores += softmax((logits + noise) / tau) of `nTokens` queries at `positions` from `first` on, whose weights
   * [H, T, capacity] attention left; they are used up.
   */
  observe(
    scores: Floats,
    weights: Floats,
    cache: LayerCache,
    positions: Words,
    first: number,
    nTokens: number,
    nHeads: number,
    layer: number,
    { noise = "none", seed = 0, reduce = "sum", weight = 1, decay = 1, tau = 1 }: Partial<ObserveOptions>,
    given: GivenNoise | null,
  ): void {
    const { slots, nKvHeads, capacity } = cache;
    check(weights.length >= nHeads * nTokens * capacity, "policy_observe", "weights");
    check(positions.length >= first + nTokens, "policy_observe", "positions");
    check(nHeads % rows(scores, cache) === 0, "policy_observe", "scores");
    const stride = given === null ? 0 : given.stride;
    check(given === null || given.values.length >= nHeads * stride * stride, "policy_observe", "noise");
    this.#raw.policy_observe(
      scores.offset,
      weights.offset,
      slots.offset,
      positions.offset + 4 * first,
      offsetOf(given?.values),
      rows(scores, cache),
      nTokens,
      nHeads,
      nKvHeads,
      capacity,
      stride,
      NOISE[given === null ? noise : "given"],
      REDUCE[reduce],
      seed,
      layer,
      weight,
      decay,
      tau,
    );
  }

  /** out [G, capacity] = scores [H, capacity] pooled over `width` neighbours, then averaged over each KV head's heads. */
  pool(out: Floats, scores: Floats, cache: LayerCache, width: number, max: boolean, end: number): void {
    const { slots, nKvHeads, capacity } = cache;
    const nHeads = rows(scores, cache);
    check(out.length >= nKvHeads * capacity, "policy_pool", "out");
    check(nHeads % nKvHeads === 0 && nHeads > 0, "policy_pool", "scores");
    this.#raw.policy_pool(
      out.offset,
      scores.offset,
      slots.offset,
      nHeads,
      nKvHeads,
      capacity,
      width,
      max ? 1 : 0,
      end,
    );
  }

  /**
   * Empties all but `budget` slots of each head: positions below `first` and from `last` on stay, and the best of the
   * rest by `nRows` rows of scores (KV heads or 1), or the latest without any.
   */
  select(
    cache: LayerCache,
    scores: Floats | null,
    nRows: number,
    budget: number,
    first: number,
    last: number,
    clear: boolean,
  ): void {
    const { slots, nKvHeads, capacity } = cache;
    check(scores === null || nRows === 1 || nRows === nKvHeads, "policy_select", "rows");
    check(scores === null || scores.length >= nRows * capacity, "policy_select", "scores");
    const offset = offsetOf(scores);
    this.#raw.policy_select(
      slots.offset,
      offset,
      nRows,
      nKvHeads,
      capacity,
      budget,
      first,
      last,
      clear ? 1 : 0,
    );
  }

  /** Empties the slots at positions from `first` up to `last` whose score, of KV heads' rows or one, is below `bound`. */
  cut(cache: LayerCache, scores: Floats, nRows: number, first: number, last: number, bound: number): void {
    const { slots, nKvHeads, capacity } = cache;
    check(nRows === 1 || nRows === nKvHeads, "policy_cut", "rows");
    check(scores.length >= nRows * capacity, "policy_cut", "scores");
    this.#raw.policy_cut(slots.offset, scores.offset, nRows, nKvHeads, capacity, first, last, bound);
  }

  /**
   * Empties slots at positions from `first` up to `last`, all but the fewest of each head that, with those that stay, have
   * a share `tau` of the sum of scores [G, capacity], none of which is negative.
   */
  cutShare(cache: LayerCache, scores: Floats, first: number, last: number, tau: number): void {
    const { slots, nKvHeads, capacity } = cache;
    check(scores.length >= nKvHeads * capacity, "policy_cut_share", "scores");
    this.#raw.policy_cut_share(slots.offset, scores.offset, nKvHeads, capacity, first, last, tau);
  }

  /**
   * Empties all but `total` slots of a layer: positions below `first` and from `last` on stay, then the `least` best of
   * each head by scores [G, capacity], then the best of all, of a head at most `most`.
   */
  spread(
    cache: LayerCache,
    scores: Floats,
    total: number,
    least: number,
    most: number,
    first: number,
    last: number,
  ): void {
    const { slots, nKvHeads, capacity } = cache;
    check(scores.length >= nKvHeads * capacity, "policy_spread", "scores");
    this.#raw.policy_spread(
      slots.offset,
      scores.offset,
      nKvHeads,
      capacity,
      total,
      least,
      most,
      first,
      last,
    );
  }

  /** Empties the slot of each head that `index` others precede in the text, until `budget` are held. */
  evictAt(cache: LayerCache, index: number, budget: number): void {
    this.#raw.policy_evict_at(cache.slots.offset, cache.nKvHeads, cache.capacity, index, budget);
  }

  /** Scores of empty slots become 0. */
  clear(scores: Floats, cache: LayerCache): void {
    const { slots, nKvHeads, capacity } = cache;
    this.#raw.policy_clear(scores.offset, slots.offset, rows(scores, cache), nKvHeads, capacity);
  }

  /** All scores become 0. */
  forget(scores: Floats, cache: LayerCache): void {
    this.#raw.policy_clear(scores.offset, 0, rows(scores, cache), cache.nKvHeads, cache.capacity);
  }

  /** Moves scores as `CacheKernels.compact` will move the slots; to be called before it. */
  compact(scores: Floats, cache: LayerCache): void {
    const { slots, nKvHeads, capacity } = cache;
    this.#raw.policy_compact(scores.offset, slots.offset, rows(scores, cache), nKvHeads, capacity);
  }

  /** scores [G, capacity] = a uniform draw per occupied slot, by its position. */
  randomise(scores: Floats, cache: LayerCache, seed: number, layer: number): void {
    const { slots, nKvHeads, capacity } = cache;
    check(scores.length >= nKvHeads * capacity, "policy_randomise", "scores");
    this.#raw.policy_randomise(scores.offset, slots.offset, nKvHeads, nKvHeads, capacity, seed, layer);
  }
}

function rows(scores: Floats, { capacity }: LayerCache): number {
  return Math.floor(scores.length / capacity);
}
