/**
 * Which token lies in which slot of a KV head, as the kernels keep it: a header of four words, then the position of every
 * slot.
 *
 * @module
 */
import type { LayerCache } from "../memory/handles.ts";

/** Words of a head before its positions: slots used, empty ones among them, none empty below, spare. */
const HEADER = 4;

/** Position of an empty slot. */
export const EMPTY = 2 ** 32 - 1;

/** Words that a head with so many slots takes. */
export function headWords(capacity: number): number {
  return HEADER + capacity;
}

/** The slots of a KV head: views of memory. */
export interface HeadSlots {
  readonly header: Uint32Array;
  /** `[capacity]` */
  readonly positions: Uint32Array;
}

export function headSlots(
  buffer: ArrayBufferLike,
  { slots, capacity }: Pick<LayerCache, "slots" | "capacity">,
  head: number,
): HeadSlots {
  const start = slots.offset + 4 * head * headWords(capacity);
  return {
    header: new Uint32Array(buffer, start, HEADER),
    positions: new Uint32Array(buffer, start + 4 * HEADER, capacity),
  };
}
