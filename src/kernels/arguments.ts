/**
 * What all wrappers of kernels do with their arguments.
 *
 * @module
 */
import { KernelError } from "../error.ts";
import type { LayerCache } from "../memory/handles.ts";

/** @throws {KernelError} When an argument, named by `what`, does not fit the others. */
export function check(fits: boolean, kernel: string, what: string): void {
  if (!fits) throw new KernelError(`${what} does not fit the other arguments`, kernel);
}

/** Offset of what may be absent; 0 tells a kernel so. */
export function offsetOf(handle: { readonly offset: number } | null | undefined): number {
  return handle?.offset ?? 0;
}

/** Offset of the bits of the slots that are read; the cache has them. */
export function activeOf({ active, nKvHeads, capacity }: LayerCache, kernel: string): number {
  check(active !== undefined && 32 * active.length >= nKvHeads * capacity, kernel, "active");
  return active!.offset;
}
