/**
 * The golden vectors of the shared data. Tests of them are skipped, loudly, where they are absent.
 *
 * @module
 */
import { assert } from "@std/assert";

const FOLDER = new URL("../../../shared/golden/", import.meta.url);

export const present = await Deno.stat(FOLDER).then(() => true, () => false);
if (!present) console.warn("%cshared/golden is absent: golden tests of policies are SKIPPED", "color: red");

/** Reads one file; `undefined` where it is absent. */
export async function golden<T>(name: string): Promise<T | undefined> {
  return present ? JSON.parse(await Deno.readTextFile(new URL(name, FOLDER))) : undefined;
}

/** Asserts that all numbers are within a tolerance, relative to those above 1. */
export function assertClose(
  got: readonly number[],
  wanted: readonly number[],
  tolerance: number,
  what: string,
): void {
  assert(got.length === wanted.length, `${what}: ${got.length} numbers, wanted ${wanted.length}`);
  got.forEach((x, i) => {
    const error = Math.abs(x - wanted[i]) / Math.max(1, Math.abs(wanted[i]));
    assert(error <= tolerance, `${what}[${i}]: ${x}, wanted ${wanted[i]}`);
  });
}
