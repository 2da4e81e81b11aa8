/**
 * The kernels that code keys and values, typed; see `kernels.ts`. A codec is the region of a layer whose header says
 * how its keys and values are coded and where they lie.
 *
 * @module
 */
import type { Bytes, Floats, LayerCache, Words } from "../memory/handles.ts";
import { check } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Words of a codec's header. */
export const CODEC_HEADER = 24;

/** Points that codebooks are learned from, of all KV heads of one layer's keys or values. */
export interface BookTraining {
  /** `[G, dim, centres]` */
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

/** Typed calls of one instance's codec kernels. T tokens, H heads, G KV heads. */
export class CodecKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** Bytes of a region, keys, values or codebooks, by a header. */
  bytes(header: Words, part: "region" | "keys" | "values" | "books"): number {
    check(header.length >= CODEC_HEADER, "codec_bytes", "header");
    return this.#raw.codec_bytes(header.offset, ["region", "keys", "values", "books"].indexOf(part)) >>> 0;
  }

  /** Nothing is coded any more. */
  reset(codec: Words): void {
    this.#raw.codec_reset(codec.offset);
  }

  /** Slots at `position` and later have been emptied. */
  truncate(codec: Words, position: number): void {
    this.#raw.codec_truncate(codec.offset, position);
  }

  /** Stores k [T, G, dk] and v [T, G, dv] at `positions` [T], exact for now; q [T, H, dk] are the tokens' queries. */
  append(
    { codec, keyDim, valueDim, nKvHeads }: LayerCache,
    q: Floats,
    k: Floats,
    v: Floats,
    positions: Words,
    nTokens: number,
    nHeads: number,
  ): void {
    check(q.length >= nTokens * nHeads * keyDim, "codec_append", "q");
    check(k.length >= nTokens * nKvHeads * keyDim, "codec_append", "k");
    check(v.length >= nTokens * nKvHeads * valueDim, "codec_append", "v");
    check(positions.length >= nTokens, "codec_append", "positions");
    this.#raw.codec_append(codec!.offset, q.offset, k.offset, v.offset, positions.offset, nTokens, nHeads);
  }

  /** Codes what leaves the recent tokens; `position` tokens are read. */
  flush(codec: Words, position: number): void {
    this.#raw.codec_flush(codec.offset, position);
  }

  /** Closes the holes of every head; occupied slots keep their order. */
  compact(codec: Words): void {
    this.#raw.codec_compact(codec.offset);
  }

  /** Places `used` centres of every group on points far from each other. */
  seedBooks(training: BookTraining, used: number): void {
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
  roundBooks(training: BookTraining): number {
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
  halveBooks(halves: Bytes, books: Floats, n: number): void {
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
