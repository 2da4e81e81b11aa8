/**
 * The kernels that tell how many slots matter from the attention of a few rows, typed; see `kernels.ts`. All heads of a
 * layer hold the same slots.
 *
 * @module
 */
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { check } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Which rows between two positions are probes. */
export interface Probes {
  readonly start: number;
  readonly end: number;
  /** All from this position on. */
  readonly from: number;
  /** Share of the others, drawn by seed and position. */
  readonly share: number;
  readonly seed: number;
}

/** Typed calls of one instance's kernels. T tokens, H heads. */
export class MassKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** mass [capacity] += the mean over all heads of the softmax weights of the probes among T rows, as attention left them. */
  observe(
    mass: Floats,
    weights: Floats,
    { slots, nKvHeads, capacity }: LayerCache,
    positions: Words,
    first: number,
    nTokens: number,
    nHeads: number,
    { from, share, seed }: Probes,
  ): void {
    check(mass.length >= capacity, "mass_observe", "mass");
    check(weights.length >= nHeads * nTokens * capacity, "mass_observe", "weights");
    check(positions.length >= first + nTokens, "mass_observe", "positions");
    this.#raw.mass_observe(
      mass.offset,
      weights.offset,
      slots.offset,
      positions.offset + 4 * first,
      nTokens,
      nHeads,
      nKvHeads,
      capacity,
      from,
      seed,
      share,
    );
  }

  /**
   * How many slots at positions from `first` on reach `tau` of their mass, the last token included if it is `held`;
   * mass [capacity] becomes scores per visible probe.
   */
  count(
    mass: Floats,
    { slots, nKvHeads, capacity }: LayerCache,
    { start, end, from, share, seed }: Probes,
    { tau, first, held }: { readonly tau: number; readonly first: number; readonly held: boolean },
  ): number {
    check(mass.length >= capacity, "mass_count", "mass");
    return this.#raw.mass_count(
      mass.offset,
      slots.offset,
      nKvHeads,
      capacity,
      start,
      end,
      from,
      seed,
      share,
      first,
      held ? 1 : 0,
      tau,
    ) >>> 0;
  }
}
