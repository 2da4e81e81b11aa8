/**
 * The kernels that learn codebooks, typed; see `src/kernels/kernels.ts`. The binary `calibrate` has them.
 *
 * @module
 */
import type { Bytes, Floats, Words } from "../../memory/handles.ts";
import { check } from "../../kernels/arguments.ts";
import type { CalibrationExports } from "./calibration_exports.ts";

/** Points that codebooks are learned from, of all KV heads of one layer's keys or values. */
export interface BookTraining {
  /** `[G, dim / channels, centres, channels]` */
  readonly books: Floats;
  /** `[G, dim / channels, n]`: the nearest centre of each point. */
  readonly labels: Words;
  /** `[G, n, dim]` */
  readonly points: Floats;
  /** `[G, n, weightGroups]` */
  readonly weights: Floats;
  /** `[n]`, scratch. */
  readonly distances: Floats;
  readonly nKvHeads: number;
  readonly n: number;
  readonly dim: number;
  readonly channels: number;
  /** Room for centres, a multiple of 4. */
  readonly centres: number;
  /** Groups that have weights of their own: dim / channels, or 1 for all alike. */
  readonly weightGroups: number;
}

/** Typed calls of one instance's kernels for codebooks. */
export class BookKernels {
  readonly #raw: CalibrationExports;

  constructor(raw: CalibrationExports) {
    this.#raw = raw;
  }

  /** Places `used` centres of every group on points far from each other. */
  seed(training: BookTraining, used: number): void {
    checkTraining(training, "book_seed");
    const { books, points, weights, distances, nKvHeads, n, dim, channels, centres, weightGroups } = training;
    check(used <= centres, "book_seed", "used");
    this.#raw.book_seed(
      books.offset,
      distances.offset,
      points.offset,
      weights.offset,
      nKvHeads,
      n,
      dim,
      channels,
      centres,
      weightGroups,
      used,
    );
  }

  /** One round of k-means in every group; how many points have changed their centre. */
  round(training: BookTraining): number {
    checkTraining(training, "book_round");
    const { books, labels, points, weights, nKvHeads, n, dim, channels, centres, weightGroups } = training;
    return this.#raw.book_round(
      books.offset,
      labels.offset,
      points.offset,
      weights.offset,
      nKvHeads,
      n,
      dim,
      channels,
      centres,
      weightGroups,
    ) >>> 0;
  }

  /** `n` numbers as floats of 16 bits. */
  halve(halves: Bytes, books: Floats, n: number): void {
    check(n % 2 === 0 && halves.length >= 2 * n && books.length >= n, "book_halve", "halves");
    this.#raw.book_halve(halves.offset, books.offset, n);
  }
}

function checkTraining(training: BookTraining, kernel: string): void {
  const { books, labels, points, weights, distances, nKvHeads, n, dim, channels, centres, weightGroups } =
    training;
  check(weightGroups === 1 || weightGroups === dim / channels, kernel, "weightGroups");
  check(dim % channels === 0 && centres % 4 === 0 && centres <= 256, kernel, "channels or centres");
  check(books.length >= nKvHeads * dim * centres, kernel, "books");
  check(points.length >= nKvHeads * n * dim, kernel, "points");
  check(labels.length >= nKvHeads * n * dim / channels, kernel, "labels");
  check(weights.length >= nKvHeads * n * weightGroups && distances.length >= n, kernel, "weights");
}
