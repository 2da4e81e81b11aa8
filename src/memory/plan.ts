/**
 * The memory plan: named regions one behind the other, made from sizes alone before any weight is read.
 * The memory grows once to `totalBytes` and never again, so views into it never detach.
 *
 * @module
 */
import { MemoryBudgetError, OptionError, type RegionBytes } from "../error.ts";
import { ALIGNMENT, roundUp } from "./handles.ts";

/** Start of memory that belongs to the kernels' module: its data and its stack. */
export const RESERVED_BYTES = 128 * 1024;

/** Each region ends in this many bytes of a known pattern that nothing writes to. */
export const GUARD_BYTES = 16;

/** Unit in which WASM memory grows. */
export const PAGE_BYTES = 64 * 1024;

/** 32-bit offsets reach 4 GiB; one page less, so that the end of the last region is an offset too. */
export const LIMIT_BYTES = 2 ** 32 - PAGE_BYTES;

/** A region in its place. `bytes` includes the guard at its end. */
export interface Region extends RegionBytes {
  /** First byte, a multiple of 16. */
  readonly offset: number;
}

/** Regions in ascending order without gaps; their bytes add up to `totalBytes`, a whole number of 64 KiB pages. */
export interface MemoryPlan {
  readonly regions: readonly Region[];
  readonly totalBytes: number;
}

/**
 * Places the wanted regions behind the reserved one, in the given order.
 *
 * @param wanted Names and sizes in bytes.
 * @param maxBytes Budget for the whole memory.
 * @throws {MemoryBudgetError} With the table of regions when the total passes `maxBytes` or 4 GiB.
 * @throws {OptionError} When `maxBytes` is no size.
 *
 * @example
 * ```ts
 * import { placeRegions } from "./plan.ts";
 * const plan = placeRegions([{ name: "weights", bytes: 1000 }]);
 * console.assert(plan.totalBytes === 3 * 65536);
 * ```
 */
export function placeRegions(wanted: readonly RegionBytes[], maxBytes = LIMIT_BYTES): MemoryPlan {
  if (!(typeof maxBytes === "number" && maxBytes > 0)) {
    throw new OptionError("maxBytes", maxBytes, "a number of bytes");
  }
  const regions: Region[] = [{ name: "reserved", bytes: RESERVED_BYTES, offset: 0 }];
  let end = RESERVED_BYTES;
  for (const { name, bytes } of wanted) {
    const region = { name, bytes: roundUp(bytes, ALIGNMENT) + GUARD_BYTES, offset: end };
    regions.push(region);
    end += region.bytes;
  }
  const totalBytes = roundUp(end, PAGE_BYTES);
  if (totalBytes > end) regions.push({ name: "padding", bytes: totalBytes - end, offset: end });
  const budget = Math.min(maxBytes, LIMIT_BYTES);
  if (!(totalBytes <= budget)) throw new MemoryBudgetError(totalBytes, budget, regions);
  return { regions, totalBytes };
}

/** Offset of the region called `name`. */
export function regionOffset(plan: MemoryPlan, name: string): number {
  return plan.regions.find((region) => region.name === name)!.offset;
}
