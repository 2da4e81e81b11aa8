import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MemoryBudgetError } from "../../src/error.ts";
import { GUARD_BYTES, LIMIT_BYTES, PAGE_BYTES, placeRegions, RESERVED_BYTES } from "../../src/memory/plan.ts";

const wanted = fc.array(
  fc.record({ name: fc.string({ minLength: 1 }), bytes: fc.integer({ min: 0, max: 50_000_000 }) }),
  { maxLength: 12 },
);

Deno.test("placeRegions() lays aligned regions without gaps, each with room for its bytes and a guard", () => {
  fc.assert(fc.property(wanted, (regions) => {
    const plan = placeRegions(regions);
    let end = 0;
    for (const region of plan.regions) {
      assertEquals(region.offset, end);
      assertEquals(region.offset % 16, 0);
      end += region.bytes;
    }
    assertEquals(end, plan.totalBytes);
    assertEquals(plan.totalBytes % PAGE_BYTES, 0);
    assertEquals(plan.regions[0].bytes, RESERVED_BYTES);
    regions.forEach((region, i) => assert(plan.regions[i + 1].bytes >= region.bytes + GUARD_BYTES));
  }));
});

Deno.test("placeRegions() takes a budget of its size and refuses one that is a byte smaller", () => {
  fc.assert(fc.property(wanted, (regions) => {
    const { totalBytes } = placeRegions(regions);
    assertEquals(placeRegions(regions, totalBytes).totalBytes, totalBytes);
    const error = assertThrows(() => placeRegions(regions, totalBytes - 1), MemoryBudgetError);
    assertEquals([error.required, error.budget], [totalBytes, totalBytes - 1]);
  }));
});

Deno.test("placeRegions() refuses what 32-bit addresses don't reach, and sizes that are no numbers", () => {
  const bytes = LIMIT_BYTES - RESERVED_BYTES - GUARD_BYTES;
  assertEquals(placeRegions([{ name: "weights", bytes }]).totalBytes, LIMIT_BYTES);
  for (const more of [bytes + 1, 2 ** 60, Infinity, NaN]) {
    assertThrows(() => placeRegions([{ name: "weights", bytes: more }]), MemoryBudgetError, "weights");
  }
});
