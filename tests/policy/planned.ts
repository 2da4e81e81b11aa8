import { assertEquals } from "@std/assert";
import type { CacheReport } from "../../src/cache/cache_report.ts";
import { GUARD_BYTES } from "../../src/memory/plan.ts";
import type { Model } from "../../src/model/engine.ts";

/** What is reported of a cache is what the plan of a model with one sequence has for it, and nothing passes its end. */
export function assertPlanned(model: Model, { bytes }: CacheReport): void {
  const regions = model.plan.regions.filter(({ name }) => ["kv", "slots", "policy"].includes(name));
  assertEquals(regions.reduce((sum, region) => sum + region.bytes - GUARD_BYTES, 0), bytes);
  assertEquals(model.brokenGuards(), []);
}
