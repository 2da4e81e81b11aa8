/**
 * The kernels of a cascade of ring buffers, typed; see `kernels.ts`.
 *
 * @module
 */
import type { Floats, LayerCache } from "../memory/handles.ts";
import { check } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Words per KV head of what a cascade keeps: the number of sinks it holds, then of tokens in each ring. */
export const RING_WORDS = 16;

/** What a cascade is made of, in tokens. */
export interface CascadeForm {
  readonly sinks: number;
  /** Rings, at most `RING_WORDS - 1`. */
  readonly rings: number;
  /** Of each ring. */
  readonly size: number;
}

/** Typed calls of one instance's kernels; the caches have `ranks` and `rings`. */
export class CascadeKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /**
   * scores [G, capacity] = kept · scores + gain · (the largest of each KV head's gathered [H, capacity], which become 0);
   * those of positions below `sinks` are 0.
   */
  average(
    scores: Floats,
    gathered: Floats,
    { slots, nKvHeads, capacity }: LayerCache,
    nHeads: number,
    sinks: number,
    kept: number,
    gain: number,
  ): void {
    check(scores.length >= nKvHeads * capacity, "cascade_average", "scores");
    check(gathered.length >= nHeads * capacity && nHeads % nKvHeads === 0, "cascade_average", "gathered");
    this.#raw.cascade_average(
      scores.offset,
      gathered.offset,
      slots.offset,
      nHeads,
      nKvHeads,
      capacity,
      sinks,
      kept,
      gain,
    );
  }

  /** Takes all tokens that are in no ring yet into the cascade, and empties the slots of what leaves it. */
  insert(
    { slots, ranks, rings, nKvHeads, capacity }: LayerCache,
    scores: Floats,
    form: CascadeForm,
  ): void {
    check(scores.length >= nKvHeads * capacity, "cascade_insert", "scores");
    check(ranks !== undefined && rings !== undefined, "cascade_insert", "cache");
    check(form.rings < RING_WORDS && form.size >= 1, "cascade_insert", "form");
    this.#raw.cascade_insert(
      slots.offset,
      scores.offset,
      ranks!.offset,
      rings!.offset,
      nKvHeads,
      capacity,
      form.sinks,
      form.rings,
      form.size,
    );
  }

  /** Brings the rings up to date after the latest tokens, or all, have been emptied. */
  trim({ slots, rings, nKvHeads, capacity }: LayerCache): void {
    check(rings !== undefined, "cascade_trim", "cache");
    this.#raw.cascade_trim(rings!.offset, slots.offset, nKvHeads, capacity);
  }
}
