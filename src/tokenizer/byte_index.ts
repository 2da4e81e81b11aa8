/**
 * From bytes to a token id, flat: an open-addressing table of `id + 1` in Uint32 slots, linear probing, at most two
 * thirds full. The keys are not in the table but in the vocabulary's blob, so a slot costs 4 bytes. The hash is FNV-1a
 * with Murmur3's finish: FNV can be carried on byte by byte, so that all prefixes of a text are looked up in one pass.
 *
 * @module
 */

/** FNV-1a's offset basis: the hash state before the first byte. */
export const HASH_START = 0x811c9dc5;

/** The hash state after one more byte. */
export function hashByte(state: number, byte: number): number {
  return Math.imul(state ^ byte, 0x01000193);
}

/** Spreads a hash over all 32 bits, as an unsigned number. */
export function finishHash(state: number): number {
  let h = state ^ (state >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Slots for a table of `n` items: some slot always stays free, which is what ends a search. */
export function slotCount(n: number): number {
  return Math.ceil(n * 1.5) + 1;
}

/** The first slot to look at: the hash scaled to the table's length, exact in a double. */
export function firstSlot(hash: number, slots: number): number {
  return Math.floor((hash * slots) / 4294967296);
}

/** Tokens by their bytes. The table holds no keys; they are `blob[offsets[id], offsets[id + 1])`. */
export class ByteIndex {
  readonly #slots: Uint32Array;
  readonly #blob: Uint8Array;
  readonly #offsets: Uint32Array;

  /** @param slots `slotCount(n)` words; cleared here. */
  constructor(slots: Uint32Array, blob: Uint8Array, offsets: Uint32Array) {
    this.#slots = slots.fill(0);
    this.#blob = blob;
    this.#offsets = offsets;
  }

  /** Adds a token. Of two with the same bytes the first one stays. */
  insert(id: number): void {
    const start = this.#offsets[id];
    const end = this.#offsets[id + 1];
    const slot = this.#search(this.#blob, start, end, hashRange(this.#blob, start, end));
    if (this.#slots[slot] === 0) this.#slots[slot] = id + 1;
  }

  /** The token that is `bytes[start, end)`, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#slots[this.#search(bytes, start, end, hashRange(bytes, start, end))] - 1;
  }

  /** As {@link find}, with the hash state of the range at hand. */
  findHashed(bytes: Uint8Array, start: number, end: number, state: number): number {
    return this.#slots[this.#search(bytes, start, end, finishHash(state))] - 1;
  }

  /** The slot of these bytes, or the free one where they would go. */
  #search(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    let slot = firstSlot(hash, slots.length);
    while (slots[slot] !== 0 && !this.#equals(slots[slot] - 1, bytes, start, end)) {
      if (++slot === slots.length) slot = 0;
    }
    return slot;
  }

  #equals(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    let at = this.#offsets[id];
    if (this.#offsets[id + 1] - at !== end - start) return false;
    for (let i = start; i < end; i++) if (bytes[i] !== this.#blob[at++]) return false;
    return true;
  }
}

function hashRange(bytes: Uint8Array, start: number, end: number): number {
  let state = HASH_START;
  for (let i = start; i < end; i++) state = hashByte(state, bytes[i]);
  return finishHash(state);
}
