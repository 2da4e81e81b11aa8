/**
 * The kernels that store keys and values in a layer's cache and read them, typed; see `kernels.ts`. T tokens, H heads,
 * G KV heads, dk and dv widths of a key and a value.
 *
 * @module
 */
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { check, offsetOf } from "./arguments.ts";
import type { CodecKernels } from "./codec_kernels.ts";
import type { KernelExports } from "./exports.ts";

/** Typed calls of one instance's cache kernels. */
export class CacheKernels {
  readonly #raw: KernelExports;
  readonly #codec: CodecKernels;

  constructor(raw: KernelExports, codec: CodecKernels) {
    this.#raw = raw;
    this.#codec = codec;
  }

  /** Empties a layer's cache. */
  reset(cache: LayerCache): void {
    this.#raw.kv_reset(cache.slots.offset, cache.nKvHeads, cache.capacity);
  }

  /** Stores k [T, G, dk] and v [T, G, dv] at `positions` [T]; the caller sees to it that slots are free. */
  append(cache: LayerCache, k: Floats, v: Floats, positions: Words, nTokens: number): void {
    check(k.length >= nTokens * cache.nKvHeads * cache.keyDim, "kv_append", "k");
    check(v.length >= nTokens * cache.nKvHeads * cache.valueDim, "kv_append", "v");
    check(positions.length >= nTokens, "kv_append", "positions");
    this.#raw.kv_append(
      cache.keys.offset,
      cache.values.offset,
      cache.slots.offset,
      offsetOf(cache.ranks),
      k.offset,
      v.offset,
      positions.offset,
      nTokens,
      cache.nKvHeads,
      cache.keyDim,
      cache.valueDim,
      cache.capacity,
      cache.keyType,
      cache.valueType,
    );
  }

  /** Empties every slot whose position is `position` or later. */
  truncate(cache: LayerCache, position: number): void {
    this.#raw.kv_truncate(cache.slots.offset, cache.nKvHeads, cache.capacity, position);
  }

  /** Closes the holes of a layer's cache; occupied slots keep their order. */
  compact(cache: LayerCache): void {
    if (cache.codec !== undefined) return this.#codec.compact(cache.codec);
    this.#raw.kv_compact(
      cache.keys.offset,
      cache.values.offset,
      cache.slots.offset,
      offsetOf(cache.ranks),
      cache.nKvHeads,
      cache.keyDim,
      cache.valueDim,
      cache.capacity,
      cache.keyType,
      cache.valueType,
    );
  }

  /**
   * out [T, H, dv] = attention of the queries q [T, H, dk] at `positions` [T] over a layer's cache; lse [H, T] = the
   * log-sum-exp of each row of logits. With `scores` [H, T, capacity] the weights are left there, up to a factor per row. The tokens
   * are those from `first` on in out, q and positions. A cache may have a bias, a set of slots to be read, ranks, a
   * rotation and a codec; see `LayerCache`.
   */
  attend(
    out: Floats,
    scores: Floats | null,
    lse: Floats,
    q: Floats,
    cache: LayerCache,
    positions: Words,
    slopes: Floats | null,
    nTokens: number,
    nHeads: number,
    scale: number,
    softcap: number,
    window: number,
    first = 0,
  ): void {
    const { nKvHeads, keyDim, valueDim, capacity, bias, active, ranks, rotation } = cache;
    check(out.length >= (first + nTokens) * nHeads * valueDim, "attend", "out");
    check(scores === null || scores.length >= nHeads * nTokens * capacity, "attend", "scores");
    check(lse.length >= nHeads * nTokens, "attend", "lse");
    check(q.length >= (first + nTokens) * nHeads * keyDim, "attend", "q");
    check(positions.length >= first + nTokens, "attend", "positions");
    check(slopes === null || slopes.length === nHeads, "attend", "slopes");
    check(bias === undefined || bias.length >= nKvHeads * capacity, "attend", "bias");
    check(active === undefined || 32 * active.length >= nKvHeads * capacity, "attend", "active");
    check(ranks === undefined || ranks.length >= nKvHeads * capacity, "attend", "ranks");
    check(
      rotation === undefined || rotation.dims <= keyDim && rotation.table.length >= rotation.dims,
      "attend",
      "rotation",
    );
    this.#raw.attend(
      out.offset + 4 * first * nHeads * valueDim,
      offsetOf(scores),
      lse.offset,
      q.offset + 4 * first * nHeads * keyDim,
      cache.keys.offset,
      cache.values.offset,
      cache.slots.offset,
      positions.offset + 4 * first,
      offsetOf(slopes),
      offsetOf(bias),
      offsetOf(active),
      offsetOf(ranks),
      offsetOf(rotation?.table),
      offsetOf(cache.codec),
      nTokens,
      nHeads,
      nKvHeads,
      keyDim,
      valueDim,
      capacity,
      rotation === undefined ? 0 : Math.floor(rotation.table.length / rotation.dims),
      rotation === undefined ? 0 : rotation.dims,
      cache.keyType,
      cache.valueType,
      rotation === undefined ? 0 : rotation.style,
      scale,
      softcap,
      window,
    );
  }

  /**
   * Joins attention over two disjoint sets of slots: out [T, H, dv] and lse [H, T] become those over both.
   *
   * @param otherOut `[T, H, dv]` over the other set, and `otherLse` `[H, T]`.
   */
  join(
    out: Floats,
    lse: Floats,
    otherOut: Floats,
    otherLse: Floats,
    nTokens: number,
    nHeads: number,
    valueDim: number,
  ): void {
    const rows = nTokens * nHeads;
    check(out.length >= rows * valueDim && otherOut.length >= rows * valueDim, "attend_join", "out");
    check(lse.length >= rows && otherLse.length >= rows, "attend_join", "lse");
    this.#raw.attend_join(
      out.offset,
      lse.offset,
      otherOut.offset,
      otherLse.offset,
      nTokens,
      nHeads,
      valueDim,
    );
  }
}
