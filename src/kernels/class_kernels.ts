/**
 * The kernels of classes of tokens, typed; see `kernels.ts`. T tokens, G KV heads, V ids.
 *
 * @module
 */
import type { Bytes, Floats, LayerCache, Words } from "../memory/handles.ts";
import { check } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Typed calls of one instance's class kernels. */
export class ClassKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** marks [rows, capacity] of the slots of `ids` [T] at `positions` [T] = whether their class [V] is not 0. */
  mark(marks: Floats, cache: LayerCache, ids: Words, positions: Words, classes: Bytes, n: number): void {
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
  thin(
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
