/**
 * Bytes of what the kernels lay out themselves, computed without them: the plan is made before any module is there.
 * A test compares each with the kernel of the same name.
 *
 * @module
 */
import { GgmlType, ggmlTypes } from "../gguf/ggml_type.ts";
import { headWords } from "./head_slots.ts";

/** Slots come in whole groups of this many. */
export const SLOT_GROUP = 32;

/** Bits of a stored key's or value's element, by ggml type id. */
const KV_BITS: Record<number, number> = {
  [GgmlType.F32]: 32,
  [GgmlType.F16]: 16,
  [GgmlType.Q8_0]: 8,
  [GgmlType.Q4_0]: 4,
};

/** Widths of a head that attention takes: multiples of the first up to the second. */
export const HEAD_STEP = 8;
export const MAX_HEAD = 256;

/** Whether products with weights of this type read activations as int8 blocks of 32. */
export function readsInt8(type: number): boolean {
  return type !== GgmlType.F32 && type !== GgmlType.F16 && type !== GgmlType.BF16;
}

/** Bytes of a row of `nCols` weights. */
export function rowBytes(type: number, nCols: number): number {
  const { blockSize, blockBytes } = ggmlTypes.get(type)!;
  return nCols / blockSize * blockBytes;
}

/** Bytes of one row of int8 activations: blocks of 32 codes, a scale and sums. */
export function quantizedBytes(nCols: number): number {
  return nCols / 32 * 48;
}

/** Bytes of one layer's keys: per slot one value an element, before 8 bits a scale per 32 and before 4 bits per 64. */
export function keyBytes(capacity: number, nKvHeads: number, width: number, type: number): number {
  const scales = { [GgmlType.Q8_0]: Math.ceil(width / 32), [GgmlType.Q4_0]: Math.ceil(width / 64) }[type] ??
    0;
  return nKvHeads * capacity * (width * KV_BITS[type] / 8 + 4 * scales);
}

/** Bytes of one layer's values: per slot one value an element, before 8 and 4 bits a scale. */
export function valueBytes(capacity: number, nKvHeads: number, width: number, type: number): number {
  const scales = KV_BITS[type] <= 8 ? 1 : 0;
  return nKvHeads * capacity * (width * KV_BITS[type] / 8 + 4 * scales);
}

/** Bytes of one layer's slots: per KV head a header of 16 bytes and the position of every slot. */
export function slotsBytes(capacity: number, nKvHeads: number): number {
  return 4 * nKvHeads * headWords(capacity);
}
