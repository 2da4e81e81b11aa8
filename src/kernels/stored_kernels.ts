/**
 * Kernels of policies that look at stored keys and values or at queries, typed; see `kernels.ts`. Scores are
 * `[G, capacity]`.
 *
 * @module
 */
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { check, offsetOf } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Ids of the measures of keys: minus the cosine with their mean direction, minus the length. */
export const GEOMETRY = { keyDiff: 0, keyNorm: 1 } as const;

/** A measure of keys. */
export type Geometry = keyof typeof GEOMETRY;

/** How queries to come are turned: `[dims / 2, 2]`, the mean of (cos, sin). */
export interface MeanRotation {
  readonly table: Floats;
  readonly dims: number;
  /** Id in `ROPE_STYLE`. */
  readonly style: number;
}

/** Floats of the statistics of one query head: count, mean, and half of the covariance. */
export function statistics(dim: number): number {
  return 1 + dim + dim * (dim + 1) / 2;
}

/** Typed calls of one instance's kernels. */
export class StoredKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** out = a measure of each slot's key. */
  geometry(out: Floats, cache: LayerCache, kind: Geometry): void {
    const { keys, slots, nKvHeads, keyDim, capacity, keyType } = cache;
    check(out.length >= nKvHeads * capacity, "policy_geometry", "out");
    this.#raw.policy_geometry(
      out.offset,
      keys.offset,
      slots.offset,
      nKvHeads,
      keyDim,
      capacity,
      keyType,
      GEOMETRY[kind],
    );
  }

  /** Adds queries q [T, H, d], not rotated yet, at positions from `first` on to the statistics of their heads. */
  gather(
    stats: Floats,
    q: Floats,
    positions: Words,
    n: number,
    nHeads: number,
    dim: number,
    first: number,
  ): void {
    check(stats.length >= nHeads * statistics(dim), "policy_gather", "stats");
    check(q.length >= n * nHeads * dim, "policy_gather", "q");
    check(positions.length >= n, "policy_gather", "positions");
    this.#raw.policy_gather(stats.offset, q.offset, positions.offset, n, nHeads, dim, first);
  }

  /** table [half, 2] = magnitude times the mean of (cos, sin) over `n` positions from `start` on. */
  meanRotation(table: Floats, frequencies: Floats, start: number, n: number, magnitude: number): void {
    const half = frequencies.length;
    check(table.length >= 2 * half, "policy_mean_rotation", "table");
    this.#raw.policy_mean_rotation(table.offset, frequencies.offset, half, start, n, magnitude);
  }

  /** out = (weight that queries like those of the statistics will give each slot + epsilon) times its value's length. */
  expect(
    out: Floats,
    room: Floats,
    cache: LayerCache,
    stats: Floats,
    rotation: MeanRotation | null,
    slopes: Floats | null,
    nHeads: number,
    first: number,
    scale: number,
    epsilon: number,
  ): void {
    const { keys, values, slots, nKvHeads, keyDim, valueDim, capacity, keyType, valueType, bias } = cache;
    check(out.length >= nKvHeads * capacity, "policy_expect", "out");
    check(room.length >= capacity, "policy_expect", "room");
    check(stats.length >= nHeads * statistics(keyDim), "policy_expect", "stats");
    check(rotation === null || rotation.table.length >= rotation.dims, "policy_expect", "rotation");
    check(bias === undefined || bias.length >= nKvHeads * capacity, "policy_expect", "bias");
    check(slopes === null || slopes.length >= nHeads, "policy_expect", "slopes");
    this.#raw.policy_expect(
      out.offset,
      room.offset,
      keys.offset,
      values.offset,
      slots.offset,
      stats.offset,
      offsetOf(rotation?.table),
      offsetOf(bias),
      offsetOf(slopes),
      nHeads,
      nKvHeads,
      keyDim,
      valueDim,
      capacity,
      rotation === null ? 0 : rotation.dims,
      first,
      keyType,
      valueType,
      rotation === null ? 0 : rotation.style,
      scale,
      epsilon,
    );
  }

  /**
   * Scores of a chunk's tokens, in the lowest empty slots of scores: how much each would help to repeat the chunk. q and k
   * are rotated already; `rotation` turns them on by as many positions as there are tokens.
   */
  echo(
    scores: Floats,
    cache: LayerCache,
    { q, k, positions }: { readonly q: Floats; readonly k: Floats; readonly positions: Words },
    rotation: MeanRotation | null,
    slopes: Floats | null,
    n: number,
    nHeads: number,
    sinks: number,
    scale: number,
  ): void {
    const { keys, slots, nKvHeads, keyDim, capacity, keyType } = cache;
    check(scores.length >= nKvHeads * capacity, "policy_echo", "scores");
    check(q.length >= n * nHeads * keyDim, "policy_echo", "q");
    check(k.length >= n * nKvHeads * keyDim, "policy_echo", "k");
    check(positions.length >= n, "policy_echo", "positions");
    check(rotation === null || rotation.table.length >= rotation.dims, "policy_echo", "rotation");
    check(slopes === null || slopes.length >= nHeads, "policy_echo", "slopes");
    this.#raw.policy_echo(
      scores.offset,
      q.offset,
      k.offset,
      positions.offset,
      keys.offset,
      slots.offset,
      offsetOf(rotation?.table),
      offsetOf(slopes),
      n,
      nHeads,
      nKvHeads,
      keyDim,
      capacity,
      rotation === null ? 0 : rotation.dims,
      sinks,
      keyType,
      rotation === null ? 0 : rotation.style,
      scale,
    );
  }

  /** before = the slots of a layer, to be compared with once some of them are empty. */
  mark(before: Words, cache: LayerCache): void {
    check(4 * before.length >= cache.slots.length, "policy_mark", "before");
    this.#raw.policy_mark(before.offset, cache.slots.offset, cache.nKvHeads, cache.capacity);
  }

  /**
   * What slots held that are empty since `mark` joins slots that stayed, at positions from `first` up to `last`: with
   * scores the value of the most similar key, whose bias grows; without, the mean at the nearest position.
   */
  join(before: Words, cache: LayerCache, scores: Floats | null, first: number, last: number): void {
    const { keys, values, slots, bias, nKvHeads, keyDim, valueDim, capacity, keyType, valueType } = cache;
    check(4 * before.length >= slots.length, "policy_join", "before");
    check(
      scores === null || bias !== undefined && bias.length >= nKvHeads * capacity &&
          scores.length >= nKvHeads * capacity,
      "policy_join",
      "scores or bias",
    );
    this.#raw.policy_join(
      keys.offset,
      values.offset,
      offsetOf(scores),
      scores === null ? 0 : bias!.offset,
      before.offset,
      slots.offset,
      nKvHeads,
      keyDim,
      valueDim,
      capacity,
      first,
      last,
      keyType,
      valueType,
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
}
