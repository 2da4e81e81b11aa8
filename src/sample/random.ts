/**
 * Uniform numbers from a counter: a draw is a pure function of the seed and of the position it is made for. No generator
 * state exists, so whatever else runs in between, the same position draws the same number by the same seed.
 *
 * @module
 */

const MULTIPLIER = 0xd256d193;
const WEYL = 0x9e3779b9;
const ROUNDS = 10;

/** High 32 bits of the 64-bit product of two 32-bit unsigned integers. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff, aHigh = a >>> 16;
  const bLow = b & 0xffff, bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/**
 * Philox2x32-10: a keyed bijection of a 64-bit counter that passes BigCrush, in 32-bit arithmetic alone.
 *
 * @returns Two 32-bit unsigned words.
 * @see J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011
 */
export function philox2x32(counter0: number, counter1: number, key: number): [number, number] {
  let x = counter0 >>> 0, y = counter1 >>> 0, k = key >>> 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high = mulHigh(MULTIPLIER, x);
    const low = Math.imul(MULTIPLIER, x) >>> 0;
    x = (high ^ k ^ y) >>> 0;
    y = low;
    k = (k + WEYL) >>> 0;
  }
  return [x, y];
}

/**
 * The uniform number in [0, 1), 53 bits, that belongs to a position by a seed.
 *
 * @param seed An integer in 0 … 2^53 - 1.
 * @param position Of the token that is drawn, below 2^32.
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { uniform } from "./random.ts";
 *
 * assertEquals(uniform(7, 3), uniform(7, 3));
 * ```
 */
export function uniform(seed: number, position: number): number {
  const [x, y] = philox2x32(position, Math.floor(seed / 0x100000000), seed);
  return (x * 0x200000 + (y >>> 11)) / 0x20000000000000;
}
