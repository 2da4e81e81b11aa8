import { CODEC_HEADER } from "../../kernels/codec_kernels.ts";
import { keyBytes, SLOT_GROUP, valueBytes } from "../../kernels/sizes.ts";
import { GgmlType } from "../../gguf/ggml_type.ts";
import type { LayerCache } from "../../memory/handles.ts";
import type { StoragePlan, StorageSetting } from "../storage.ts";
import { CODEC_KIND, planCodec } from "./codec.ts";

/** Words of state per number of a key. */
const STATE_WORDS = 3;

/** Exact keys, as they are before they are rotated, and exact values of a whole text: what a calibration learns from. */
export function collector({ hparams, chunk, context }: StorageSetting): StoragePlan {
  const { headDim, valueDim } = hparams;
  return planCodec("collector", {}, hparams, {
    kind: CODEC_KIND.think,
    recent: context,
    chunk,
    halves: false,
    params: [headDim, GgmlType.F32, GgmlType.F32],
    keyWords: keyBytes(SLOT_GROUP, 1, headDim, GgmlType.F32) / 4,
    valueWords: valueBytes(SLOT_GROUP, 1, valueDim, GgmlType.F32) / 4,
    plainValues: GgmlType.F32,
    stateWords: STATE_WORDS * headDim,
    unrotated: true,
  });
}

/**
 * The keys, or values, `[n, dim]` of the first `n` tokens of a KV head of a text that was collected: a view of memory.
 */
export function collected(
  buffer: ArrayBufferLike,
  cache: LayerCache,
  part: "keys" | "values",
  head: number,
  n: number,
): Float32Array {
  const { codec, values, nKvHeads, valueDim, keyDim } = cache;
  if (part === "values") {
    return new Float32Array(buffer, values.offset + head * values.length / nKvHeads, n * valueDim);
  }
  // Behind the header and the state of the codec, a ring of exact keys for each head.
  const start = CODEC_HEADER + STATE_WORDS * nKvHeads * keyDim;
  const ring = (codec!.length - start) / nKvHeads;
  return new Float32Array(buffer, codec!.offset + 4 * (start + head * ring), n * keyDim);
}
