/**
 * The kernels of a row of logits, typed; see `kernels.ts`.
 *
 * @module
 */
import type { Floats, Words } from "../memory/handles.ts";
import { check } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Typed calls of one instance's logits kernels. */
export class LogitsKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** Index of the largest of x [n]. */
  argmax(x: Floats, n: number): number {
    check(x.length >= n, "argmax", "x");
    return this.#raw.argmax(x.offset, n) >>> 0;
  }

  /** The k largest of x [n], descending, ties to the lower index: ids [k] and values [k]. */
  topk(ids: Words, values: Floats, x: Floats, n: number, k: number): void {
    check(ids.length >= k && values.length >= k, "topk", "ids or values");
    check(k <= n && x.length >= n, "topk", "x");
    this.#raw.topk(ids.offset, values.offset, x.offset, n, k);
  }

  /** Penalises the m tokens ids [m], which occurred counts [m] times, in the row x [n]. */
  penalize(
    x: Floats,
    ids: Words,
    counts: Words,
    m: number,
    repetition: number,
    frequency: number,
    presence: number,
  ): void {
    check(ids.length >= m && counts.length >= m, "penalize", "ids or counts");
    this.#raw.penalize(x.offset, ids.offset, counts.offset, m, repetition, frequency, presence);
  }

  /** x [ids[i]] += values[i] for i below m. */
  addAt(x: Floats, ids: Words, values: Floats, m: number): void {
    check(ids.length >= m && values.length >= m, "add_at", "ids or values");
    this.#raw.add_at(x.offset, ids.offset, values.offset, m);
  }

  /** Sends the logits of x [n] to -Infinity whose bit in `mask` is not set, the lowest bit of a word first. */
  keep(x: Floats, mask: Words, n: number): void {
    check(x.length >= n, "keep", "x");
    check(32 * mask.length >= n, "keep", "mask");
    this.#raw.keep(x.offset, mask.offset, n);
  }

  /** log Σ exp of n values, `row` rows of n into x. */
  logSumExp(x: Floats, n: number, row = 0): number {
    check(x.length >= (row + 1) * n, "log_sum_exp", "x");
    return this.#raw.log_sum_exp(x.offset + 4 * row * n, n);
  }

  /** Element `index` of x. */
  read(x: Floats, index: number): number {
    check(index < x.length, "read_f32", "index");
    return this.#raw.read_f32(x.offset + 4 * index);
  }
}
