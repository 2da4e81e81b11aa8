import { assertEquals } from "@std/assert";
import { Arena } from "../../src/memory/arena.ts";
import { Layout } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";

Deno.test("Arena tells which region was written beyond its end", () => {
  const plan = placeRegions([{ name: "first", bytes: 100 }, { name: "second", bytes: 8 }]);
  const arena = new Arena(new ArrayBuffer(plan.totalBytes), plan);
  assertEquals(arena.brokenGuards(), []);
  arena.region("first").fill(1);
  arena.region("second").fill(1);
  assertEquals(arena.brokenGuards(), []);
  arena.bytes[regionOffset(plan, "second") - 1] = 0;
  assertEquals(arena.brokenGuards(), ["first"]);
});

Deno.test("Arena views what Layout laid, and one handle's values are not another's", () => {
  const plan = placeRegions([{ name: "all", bytes: 200 }]);
  const arena = new Arena(new ArrayBuffer(plan.totalBytes), plan);
  const layout = new Layout(regionOffset(plan, "all"));
  const [a, b] = [layout.floats(3), layout.words(5)];
  arena.floats(a).fill(1.5);
  arena.words(b).fill(7);
  assertEquals([...arena.floats(a)], [1.5, 1.5, 1.5]);
  assertEquals([b.offset - a.offset, layout.bytes], [16, 48]);
});
