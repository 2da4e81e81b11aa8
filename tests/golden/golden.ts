/**
 * Reads the references that the scripts of this folder made.
 *
 * @module
 */

/** Values that a script stored as JSON. `path` is relative to this folder. */
export async function goldenJson<T>(path: string): Promise<T> {
  return JSON.parse(await Deno.readTextFile(new URL(path, import.meta.url)));
}

/** Little-endian f32 values. */
export async function goldenFloats(path: string): Promise<Float32Array<ArrayBuffer>> {
  return new Float32Array((await Deno.readFile(new URL(path, import.meta.url))).buffer);
}

/** The bytes of a file that is stored packed by gzip. */
export async function goldenPacked(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Blob([await Deno.readFile(new URL(path, import.meta.url))]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).bytes();
}

/** The largest difference of two rows; not a number where one holds one. */
export function largestDifference(found: Float32Array, wanted: Float32Array): number {
  if (found.length !== wanted.length) throw new RangeError(`${found.length} values, ${wanted.length} wanted`);
  return found.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i])), 0);
}
