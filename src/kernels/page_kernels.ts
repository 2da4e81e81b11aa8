/**
 * The kernels of bounds on pages of keys, typed; see `kernels.ts`. T tokens, H heads, G KV heads, d width of a key.
 *
 * @module
 */
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { activeOf, check } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Pages of a KV head that there is room for: whole groups of four. */
export function pagesOf(capacity: number, page: number): number {
  return 4 * Math.ceil(capacity / page / 4);
}

/** Typed calls of one instance's page kernels. */
export class PageKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** Takes the keys k [T, G, d] that have just been appended into the bounds [G, pages / 4, 2, d, 4] of their pages. */
  extend(bounds: Floats, k: Floats, cache: LayerCache, positions: Words, n: number, page: number): void {
    check(k.length >= n * cache.nKvHeads * cache.keyDim, "page_extend", "k");
    check(positions.length >= n && n > 0, "page_extend", "positions");
    this.#extend(bounds, k.offset, cache, positions.offset, n, page);
  }

  /** Makes all bounds anew from the stored keys. */
  rebuild(bounds: Floats, cache: LayerCache, page: number): void {
    this.#extend(bounds, 0, cache, 0, 0, page);
  }

  #extend(
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
  choose(
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
}
