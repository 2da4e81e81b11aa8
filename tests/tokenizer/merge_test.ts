import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Merger, type PairTable } from "../../src/tokenizer/merge.ts";

/** Joins any two symbols whose lengths together have a rank. The id of a symbol is its length. */
class ByLength implements PairTable {
  joined = 0;
  constructor(readonly ranks: readonly number[]) {}
  priority(left: number, right: number): number {
    this.joined = left + right;
    return this.ranks[this.joined] ?? Infinity;
  }
}

/** The definition: join the pair with the lowest rank, the leftmost of equals, until none joins. */
function naive(ids: readonly number[], pairs: PairTable): number[] {
  const symbols = [...ids];
  while (true) {
    let best = Infinity;
    let at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const priority = pairs.priority(symbols[i], symbols[i + 1], new Uint8Array(), 0, 0);
      if (priority < best) [best, at] = [priority, i];
    }
    if (at < 0) return symbols;
    symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
  }
}

Deno.test("Merger.run() merges short and long words as the definition does", () => {
  const merger = new Merger();
  const ranks = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constant(Infinity)), { maxLength: 40 });
  const ids = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 120 });
  fc.assert(
    fc.property(ids, ranks, (ids, ranks) => {
      const pairs = new ByLength(ranks);
      merger.reserve(ids.length);
      let start = 0;
      ids.forEach((id, i) => {
        merger.ids[i] = id;
        merger.starts[i] = start;
        start += id;
      });
      merger.starts[ids.length] = start;
      const n = merger.run(ids.length, new Uint8Array(), pairs);
      const wanted = naive(ids, pairs);
      assertEquals([...merger.ids.subarray(0, n)], wanted);
      let at = 0;
      wanted.forEach((length, i) => {
        assertEquals(merger.starts[i], at);
        at += length;
      });
      assertEquals(merger.starts[n], at);
    }),
    { numRuns: 1000 },
  );
});
