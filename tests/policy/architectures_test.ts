/** Policies on every architecture: rotary, learned and ALiBi positions, grouped heads, windows, soft caps. */
import { assert, assertEquals } from "@std/assert";
import type { LoadOptions } from "../../src/model/engine.ts";
import { ARCH_CASES, loadArch } from "../golden/arch.ts";

const POLICIES = [
  "window",
  "h2o",
  "keyformer",
  "keyformer:score=shared",
  "tova",
  "snapkv:window=3,reserve=64",
  "random",
];

for (const golden of ARCH_CASES) {
  const { name, ids } = golden;
  Deno.test(`${name}: every policy runs, and with a budget of the whole text changes no bit`, async () => {
    const run = async (options: Partial<LoadOptions>) => {
      const model = await loadArch(golden, { chunk: 8, ...options });
      const sequence = model.sequence();
      await sequence.prefill(ids.slice(0, -4));
      for (const id of ids.slice(-4)) sequence.decode(id);
      const [logits, report] = [sequence.logits().slice(), sequence.cache()];
      assertEquals(model.brokenGuards(), []);
      model.dispose();
      return { logits, report };
    };
    const full = await run({});
    for (const policy of POLICIES) {
      assertEquals((await run({ policy, budget: ids.length + 1 })).logits, full.logits, policy);
      const { logits, report } = await run({ policy, budget: 8 });
      assert(logits.every(Number.isFinite), policy);
      assertEquals(report.slots, policy.startsWith("snapkv") ? 12 : 8, policy);
    }
  });
}
