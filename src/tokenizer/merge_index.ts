/**
 * The merges of byte-pair encoding, flat: merge `rank` joins tokens `left[rank]` and `right[rank]` into `joined[rank]`,
 * and an open-addressing table leads from a pair of ids to its rank.
 *
 * @module
 */
import { finishHash, firstSlot } from "./byte_index.ts";
import type { PairTable } from "./merge.ts";

/** Merges by the pair of ids they join: the {@link PairTable} of byte-level BPE, priority = rank. */
export class MergeIndex implements PairTable {
  joined = 0;
  readonly #slots: Uint32Array;
  readonly #left: Uint32Array;
  readonly #right: Uint32Array;
  readonly #joined: Uint32Array;

  /** @param slots `slotCount(nMerges)` words; cleared here. The other three hold `nMerges` words, filled by `insert`. */
  constructor(slots: Uint32Array, left: Uint32Array, right: Uint32Array, joined: Uint32Array) {
    this.#slots = slots.fill(0);
    this.#left = left;
    this.#right = right;
    this.#joined = joined;
  }

  /** Adds merge `rank`. Of two merges of the same pair the earlier one stays. */
  insert(rank: number, left: number, right: number, joined: number): void {
    this.#left[rank] = left;
    this.#right[rank] = right;
    this.#joined[rank] = joined;
    const slot = this.#search(left, right);
    if (this.#slots[slot] === 0) this.#slots[slot] = rank + 1;
  }

  priority(left: number, right: number): number {
    const entry = this.#slots[this.#search(left, right)];
    if (entry === 0) return Infinity;
    this.joined = this.#joined[entry - 1];
    return entry - 1;
  }

  #search(left: number, right: number): number {
    const slots = this.#slots;
    const hash = finishHash(Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77) ^ (right >>> 15));
    let slot = firstSlot(hash, slots.length);
    while (slots[slot] !== 0) {
      const rank = slots[slot] - 1;
      if (this.#left[rank] === left && this.#right[rank] === right) break;
      if (++slot === slots.length) slot = 0;
    }
    return slot;
  }
}
