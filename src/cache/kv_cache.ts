/**
 * The key-value cache of a sequence: per layer a set of slots per KV head, each with its key, its value and the
 * position of its token. Attention does not care about the order of slots, so one can be freed and used again.
 *
 * @module
 */
import { OptionError, UnsupportedModelError } from "../error.ts";
import { GgmlType } from "../gguf/ggml_type.ts";
import type { Hparams } from "../hparams.ts";
import { HEAD_STEP, MAX_HEAD } from "../kernels/sizes.ts";

/** How keys or values are stored. */
export type KvTypeName = "f32" | "f16" | "q8_0" | "q4_0";

/** The storage of keys and of values. */
export interface KvTypes {
  readonly k: KvTypeName;
  readonly v: KvTypeName;
}

/** ggml type ids of the storage types. */
export const KV_TYPES: Readonly<Record<KvTypeName, number>> = {
  f32: GgmlType.F32,
  f16: GgmlType.F16,
  q8_0: GgmlType.Q8_0,
  q4_0: GgmlType.Q4_0,
};

/**
 * The storage to use: as asked, or q8_0, which takes half of f16's bytes, is read twice as fast by byte products, and
 * costs 0.02 % of perplexity on heads 32 wide and 0.2 % on heads 8 wide.
 *
 * @throws {OptionError} When a name is unknown.
 * @throws {UnsupportedModelError} When heads have a width that attention does not take.
 */
export function kvTypes(wanted: KvTypes | KvTypeName | undefined, hparams: Hparams): KvTypes {
  const types = typeof wanted === "object" ? wanted : { k: wanted ?? "q8_0", v: wanted ?? "q8_0" };
  for (const type of [types.k, types.v]) {
    if (!Object.hasOwn(KV_TYPES, type)) {
      throw new OptionError("kvType", type, Object.keys(KV_TYPES).join(", "));
    }
  }
  for (const width of [hparams.headDim, hparams.valueDim]) {
    if (width % HEAD_STEP !== 0 || width > MAX_HEAD) {
      throw new UnsupportedModelError("width of a head", width, [
        `multiples of ${HEAD_STEP} up to ${MAX_HEAD}`,
      ]);
    }
  }
  return types;
}
