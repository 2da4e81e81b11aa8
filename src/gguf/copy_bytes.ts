/**
 * Copies of a few bytes, by the hundred thousand.
 *
 * @module
 */

/** Below so many bytes a loop is faster than `set`, and it leaves no view behind for the garbage collector. */
const SHORT = 64;

/** Copies `source[start, end)` to `target[at, …)`. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  if (end - start >= SHORT) target.set(source.subarray(start, end), at);
  else for (let i = start; i < end; i++) target[at++] = source[i];
}
