/**
 * Reads the references that the scripts of this folder made. Paths are relative to this folder.
 *
 * @module
 */

export function goldenBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(new URL(path, import.meta.url));
}

export async function goldenJson<T>(path: string): Promise<T> {
  return JSON.parse(await Deno.readTextFile(new URL(path, import.meta.url)));
}

/** Little-endian f32 values. */
export async function goldenFloats(path: string): Promise<Float32Array<ArrayBuffer>> {
  return new Float32Array((await goldenBytes(path)).buffer);
}

/** The bytes of a file that is stored packed by gzip. */
export async function goldenPacked(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Blob([await goldenBytes(path)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).bytes();
}

/** The largest difference of two rows; NaN where one holds one. */
export function largestDifference(found: Float32Array, wanted: Float32Array): number {
  if (found.length !== wanted.length) throw new RangeError(`${found.length} values, ${wanted.length} wanted`);
  return found.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i])), 0);
}

/** The root of the mean squared difference of two rows. */
export function rmsDifference(found: Float32Array, wanted: Float32Array): number {
  if (found.length !== wanted.length) throw new RangeError(`${found.length} values, ${wanted.length} wanted`);
  return Math.sqrt(found.reduce((sum, value, i) => sum + (value - wanted[i]) ** 2, 0) / found.length);
}
