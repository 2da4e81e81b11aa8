/**
 * The golden vectors of the shared data. Tests of them are skipped, loudly, where they are absent.
 *
 * @module
 */
import { assert } from "@std/assert";
import type { Heads } from "./rig.ts";

const FOLDER = new URL("../../../shared/golden/", import.meta.url);

export const present = await Deno.stat(FOLDER).then(() => true, () => false);
if (!present) console.warn("%cshared/golden is absent: golden tests of policies are SKIPPED", "color: red");

/** What the files have in common; `V` is what a variant holds. */
export interface GoldenFile<V> {
  readonly n: number;
  readonly steps: number;
  readonly heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  /** Where positions are rotations. */
  readonly rope_base: number;
  readonly q: Heads;
  readonly k: Heads;
  readonly v: Heads;
  readonly variants: Record<string, V>;
}

/** The sizes of a file as the rig takes them; the prompt is reduced once, at its end. */
export const shape = ({ heads, kv_heads, head_dim, n, steps }: GoldenFile<unknown>) => ({
  nHeads: heads,
  nKvHeads: kv_heads,
  headDim: head_dim,
  context: n + steps,
  prefill: "whole" as const,
});

/** Asserts the output of one token, `[head][dim]`. */
export function assertOut(got: readonly number[][], wanted: readonly number[][], what: string): void {
  wanted.forEach((row, head) => assertClose(got[head], row, 1e-5, `${what}, head ${head}`));
}

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
