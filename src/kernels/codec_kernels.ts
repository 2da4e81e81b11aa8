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

  /** The tokens that wait to be coded matter where `kept`, slots as the cache's own, still has them. */
  choose({ codec, slots }: LayerCache, kept: Bytes | Words): void {
    const bytes = kept.kind === "bytes" ? kept.length : 4 * kept.length;
    check(bytes >= slots.length, "codec_choose", "kept");
    this.#raw.codec_choose(codec!.offset, kept.offset);
  }

  /** Closes the holes of every head; occupied slots keep their order. */
  compact(codec: Words): void {
    this.#raw.codec_compact(codec.offset);
  }
}
