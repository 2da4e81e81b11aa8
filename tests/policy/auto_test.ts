import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import type { PlanOptions } from "../../src/model/plan.ts";
import { planModel } from "../../src/runtime/plan_model.ts";
import { loadModel } from "../../src/runtime/load_model.ts";

const BUNDLED = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const auto = (budget: string, more: PlanOptions = {}) => ({ context: 1024, policy: "auto", budget, ...more });

/** Bytes that the cache really takes, told by a sequence of the model. */
async function cacheOf(options: PlanOptions) {
  const model = await loadModel(BUNDLED, options);
  const report = model.sequence().cache();
  const reason = model.plan.automatic?.reason ?? "";
  const { k: keys } = model.plan.kvType;
  model.dispose();
  return { ...report, keys, reason };
}

Deno.test("auto keeps every token while that fits, then in 4 bits, then those whose keys differ most, and never passes the bytes", async () => {
  const full = await cacheOf({ context: 1024 });
  const byChannel = await cacheOf({ context: 1024, storage: "kivi:bits=4" });
  const byBlock = await cacheOf({ context: 1024, kvType: "q4_0" });
  assert(byBlock.bytes < byChannel.bytes && byChannel.bytes < full.bytes);
  for (
    const [bytes, kvType, policy, storage, types] of [
      [full.bytes + 4096, undefined, "full", "plain", "q8_0"],
      [full.bytes - 4096, undefined, "full", "kivi", "q8_0"],
      [byChannel.bytes - 4096, undefined, "full", "plain", "q4_0"],
      [byBlock.bytes - 4096, undefined, "keydiff", "plain", "q4_0"],
      [byBlock.bytes / 4, undefined, "keydiff", "plain", "q4_0"],
      [byChannel.bytes - 4096, "q8_0", "keydiff", "plain", "q8_0"],
    ] as const
  ) {
    const chosen = await cacheOf(auto(`${Math.floor(bytes)}B`, { kvType }));
    assertEquals([chosen.policy, chosen.storage, chosen.keys], [policy, storage, types]);
    assert(chosen.bytes <= bytes);
    assertStringIncludes(chosen.reason, "MB of");
  }
});

Deno.test("auto runs on a text longer than its cache", async () => {
  const model = await loadModel(BUNDLED, auto("400kB"));
  const sequence = model.sequence();
  const ids = Array.from({ length: 900 }, (_, i) => i * 31 % 2000);
  await sequence.prefill(ids);
  assert(sequence.cache().slots < ids.length);
  assert(sequence.logits().every(Number.isFinite));
  model.dispose();
});

Deno.test("auto without bytes, with another axis or with no room is refused before anything is loaded", async () => {
  for (const budget of [undefined, 0.5, 512, "1kB"]) {
    await assertRejects(() => planModel(BUNDLED, { policy: "auto", budget }), OptionError, "budget");
  }
  for (const axis of [{ storage: "think" }, { read: "quest" }, { victims: "mass_fold" }]) {
    await assertRejects(() => planModel(BUNDLED, auto("1MB", axis)), OptionError, "auto");
  }
});
