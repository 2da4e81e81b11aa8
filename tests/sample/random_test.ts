import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { philox2x32, uniform } from "../../src/sample/random.ts";

Deno.test("philox2x32() gives the published vectors", () => {
  const hex = (words: [number, number]) => words.map((w) => w.toString(16).padStart(8, "0")).join(" ");
  assertEquals(hex(philox2x32(0, 0, 0)), "ff1dae59 6cd10df2");
  assertEquals(hex(philox2x32(0xffffffff, 0xffffffff, 0xffffffff)), "2c3f628b ab4fd7ad");
  assertEquals(hex(philox2x32(0x243f6a88, 0x85a308d3, 0x13198a2e)), "dd7ce038 f62a4c12");
});

Deno.test("uniform() depends on every bit of seed and position", () => {
  const base = uniform(5, 9);
  assertNotEquals(uniform(5, 10), base);
  for (let bit = 0; bit < 53; bit++) assertNotEquals(uniform(2 ** bit, 0), uniform(0, 0), `bit ${bit}`);
});

Deno.test("uniform() fills [0, 1) evenly, over positions and over seeds", () => {
  const bins = 64, draws = 64_000;
  for (const draw of [(i: number) => uniform(1, i), (i: number) => uniform(i, 0)]) {
    const counts = new Array(bins).fill(0);
    for (let i = 0; i < draws; i++) {
      const u = draw(i);
      assert(u >= 0 && u < 1);
      counts[Math.floor(u * bins)]++;
    }
    const chiSquare = counts.reduce((sum, n) => sum + (n - draws / bins) ** 2 / (draws / bins), 0);
    assert(chiSquare < 63 + 5 * Math.sqrt(2 * 63), `chi-square ${chiSquare}`);
  }
});
