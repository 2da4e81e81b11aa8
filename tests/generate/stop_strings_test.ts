import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { StopStrings } from "../../src/generate/stop_strings.ts";

/** Feeds pieces and returns what came out, with and without the flush. */
function run(stops: string[], pieces: string[]): { pushed: string; flushed: string; stopped: boolean } {
  const filter = new StopStrings(stops);
  const pushed = pieces.map((piece) => filter.push(piece)).join("");
  return { pushed, flushed: pushed + filter.flush(), stopped: filter.stopped };
}

const letters = (maxLength: number, minLength = 0) =>
  fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength, maxLength });
const stopLists = fc.array(letters(4, 1), { minLength: 1, maxLength: 3 });

Deno.test("StopStrings gives the same text however it is cut into pieces", () => {
  fc.assert(
    fc.property(stopLists, fc.array(letters(5), { maxLength: 8 }), (stops, pieces) => {
      const whole = pieces.join("");
      const { flushed, stopped } = run(stops, pieces);
      assertEquals(
        { flushed, stopped },
        (({ flushed, stopped }) => ({ flushed, stopped }))(run(stops, [...whole])),
      );
      // The oracle: the shortest beginning that ends in a stop string, without the longest one it ends in.
      for (let end = 1; end <= whole.length; end++) {
        const ending = stops.filter((stop) =>
          whole.slice(0, end).endsWith(stop)
        ).sort((a, b) => b.length - a.length)[0];
        if (ending === undefined) continue;
        assert(stopped);
        assertEquals(flushed, whole.slice(0, end - ending.length));
        return;
      }
      assert(!stopped);
      assertEquals(flushed, whole);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("StopStrings never lets the beginning of a stop string out before it is known", () => {
  fc.assert(
    fc.property(stopLists, fc.array(letters(5), { maxLength: 8 }), letters(6), (stops, pieces, rest) => {
      const early = run(stops, pieces).pushed;
      assert(run(stops, [...pieces, rest]).flushed.startsWith(early));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("StopStrings holds back no more than it must", () => {
  assertEquals(run(["END"], ["The E"]), { pushed: "The ", flushed: "The E", stopped: false });
  assertEquals(run(["END"], ["The E", "nd"]).pushed, "The End");
  assertEquals(run([], ["any", "thing"]).pushed, "anything");
});
