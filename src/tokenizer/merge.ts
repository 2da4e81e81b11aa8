/**
 * The merge loop of byte-pair encoding, shared by byte-level BPE (priority = rank of the merge) and SentencePiece BPE
 * (priority = minus the score of the joined piece):
 *
 * ```text
 * symbols = the characters or bytes of the word
 * while some neighbours join: join the pair with the lowest priority, the leftmost of equals
 * ```
 *
 * Words of a text are a few symbols long: there a scan over an array is fastest. Long ones (a hundred thousand times
 * the same letter, or a whole text without pre-tokenizer) take a binary heap over a linked list, O(n log n); entries
 * that a later merge made stale are recognised by their length and skipped.
 * Source: Sennrich, Haddow, Birch 2016, arXiv 1508.07909; Kudo, Richardson 2018, arXiv 1808.06226.
 *
 * @module
 */

/** A symbol that is no token of its own. */
export const NO_TOKEN = 0xffffffff;

/** Which neighbours join. */
export interface PairTable {
  /** The id of the last pair that {@link priority} found. */
  joined: number;
  /**
   * When two neighbouring symbols join, lower is earlier; Infinity when they don't.
   * Both together are `bytes[start, end)`.
   */
  priority(left: number, right: number, bytes: Uint8Array, start: number, end: number): number;
}

const SCAN_LIMIT = 40;

/** The symbols of one word, merged in place. Reused from word to word, so a call makes no garbage. */
export class Merger {
  /** Ids of the symbols. Fill `[0, n)` before {@link run}. */
  ids = new Uint32Array(256);
  /** Start of each symbol in the bytes of the word; `starts[n]` is the end of the last one. */
  starts = new Uint32Array(257);
  readonly #priorities = new Float64Array(SCAN_LIMIT);
  readonly #joined = new Uint32Array(SCAN_LIMIT);

  /** Makes room for `n` symbols; what was there is lost. */
  reserve(n: number): void {
    if (this.ids.length >= n) return;
    this.ids = new Uint32Array(n);
    this.starts = new Uint32Array(n + 1);
  }

  /** Gives back the buffers of an unusually long word. */
  release(): void {
    if (this.ids.length <= 4096) return;
    this.ids = new Uint32Array(256);
    this.starts = new Uint32Array(257);
  }

  /** Merges the first `n` symbols of `bytes`; returns how many are left, at the front of `ids` and `starts`. */
  run(n: number, bytes: Uint8Array, pairs: PairTable): number {
    return n <= SCAN_LIMIT ? this.#scan(n, bytes, pairs) : this.#heap(n, bytes, pairs);
  }

  #scan(n: number, bytes: Uint8Array, pairs: PairTable): number {
    const { ids, starts } = this;
    const priorities = this.#priorities;
    const joined = this.#joined;
    const look = (i: number) => {
      priorities[i] = pairs.priority(ids[i], ids[i + 1], bytes, starts[i], starts[i + 2]);
      joined[i] = pairs.joined;
    };
    for (let i = 0; i + 1 < n; i++) look(i);
    while (true) {
      let best = Infinity;
      let at = -1;
      for (let i = 0; i + 1 < n; i++) {
        if (priorities[i] < best) {
          best = priorities[i];
          at = i;
        }
      }
      if (at < 0) return n;
      ids[at] = joined[at];
      n--;
      for (let i = at + 1; i < n; i++) {
        ids[i] = ids[i + 1];
        starts[i] = starts[i + 1];
        priorities[i] = priorities[i + 1];
        joined[i] = joined[i + 1];
      }
      starts[n] = starts[n + 1];
      if (at > 0) look(at - 1);
      if (at + 1 < n) look(at);
    }
  }

  #heap(n: number, bytes: Uint8Array, pairs: PairTable): number {
    const { ids, starts } = this;
    const end = starts[n];
    const next = new Uint32Array(n + 1);
    const previous = new Uint32Array(n + 1);
    for (let i = 0; i <= n; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    // Each merge removes a symbol and adds at most two pairs.
    const heap = new PairHeap(3 * n);
    const stop = (symbol: number) => next[symbol] < n ? starts[next[symbol]] : end;
    const add = (left: number, right: number) => {
      const priority = pairs.priority(ids[left], ids[right], bytes, starts[left], stop(right));
      if (priority < Infinity) heap.push(priority, left, stop(right) - starts[left], pairs.joined);
    };
    for (let i = 0; i + 1 < n; i++) add(i, i + 1);
    const alive = new Uint8Array(n).fill(1);
    while (heap.pop()) {
      const left = heap.left;
      const right = next[left];
      // Symbols only grow, so a pair that still covers as many bytes as when it was found is still the same pair.
      if (!alive[left] || right >= n || stop(right) - starts[left] !== heap.size) continue;
      ids[left] = heap.joined;
      alive[right] = 0;
      next[left] = next[right];
      previous[next[left]] = left;
      if (left > 0) add(previous[left], left);
      if (next[left] < n) add(left, next[left]);
    }
    let count = 0;
    for (let i = 0; i < n; i = next[i]) {
      ids[count] = ids[i];
      starts[count++] = starts[i];
    }
    starts[count] = end;
    return count;
  }
}

/** A binary min-heap of pairs in typed arrays, ordered by priority, then by place. `pop` leaves its result in fields. */
class PairHeap {
  left = 0;
  size = 0;
  joined = 0;
  #count = 0;
  readonly #priority: Float64Array;
  readonly #left: Uint32Array;
  readonly #size: Uint32Array;
  readonly #joined: Uint32Array;

  constructor(capacity: number) {
    this.#priority = new Float64Array(capacity);
    this.#left = new Uint32Array(capacity);
    this.#size = new Uint32Array(capacity);
    this.#joined = new Uint32Array(capacity);
  }

  push(priority: number, left: number, size: number, joined: number): void {
    let at = this.#count++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(priority, left, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#set(at, priority, left, size, joined);
  }

  /** Takes the first pair out; false when there is none. */
  pop(): boolean {
    if (this.#count === 0) return false;
    this.left = this.#left[0];
    this.size = this.#size[0];
    this.joined = this.#joined[0];
    const last = --this.#count;
    const priority = this.#priority[last];
    const left = this.#left[last];
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#before(this.#priority[child + 1], this.#left[child + 1], child)) child++;
      if (!this.#before(this.#priority[child], this.#left[child], last)) break;
      this.#move(child, at);
      at = child;
    }
    this.#set(at, priority, left, this.#size[last], this.#joined[last]);
    return true;
  }

  #before(priority: number, left: number, other: number): boolean {
    const otherPriority = this.#priority[other];
    return priority < otherPriority || (priority === otherPriority && left < this.#left[other]);
  }

  #move(from: number, to: number): void {
    this.#set(to, this.#priority[from], this.#left[from], this.#size[from], this.#joined[from]);
  }

  #set(at: number, priority: number, left: number, size: number, joined: number): void {
    this.#priority[at] = priority;
    this.#left[at] = left;
    this.#size[at] = size;
    this.#joined[at] = joined;
  }
}
