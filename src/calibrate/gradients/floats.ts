import type { Floats } from "../../memory/handles.ts";

/** Sends the first `n` numbers to 0. */
export function clearFloats(buffer: ArrayBuffer, { offset }: Floats, n: number): void {
  new Float32Array(buffer, offset, n).fill(0);
}

/** to [n] = from [n]. */
export function copyFloats(buffer: ArrayBuffer, to: Floats, from: Floats, n: number): void {
  new Float32Array(buffer, to.offset, n).set(new Float32Array(buffer, from.offset, n));
}

/** `n` rows of `width` numbers from `row` on. */
export function rowsOf({ offset }: Floats, row: number, n: number, width: number): Floats {
  return { kind: "f32", offset: offset + 4 * row * width, length: n * width };
}
