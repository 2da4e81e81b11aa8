import { assert, assertEquals, assertThrows } from "@std/assert";
import { readBudget } from "../../src/cache/budget.ts";
import { layCaches } from "../../src/cache/cache_layout.ts";
import {
  budgetAt,
  type CacheOptions,
  type CachePlan,
  layerBudgets,
  planCache,
} from "../../src/cache/cache_plan.ts";
import { POLICIES, readPolicy } from "../../src/cache/policies/mod.ts";
import { perLayer, pyramid } from "../../src/cache/wrappers.ts";
import { OptionError } from "../../src/error.ts";
import type { Hparams } from "../../src/hparams.ts";
import { Layout } from "../../src/memory/handles.ts";
import { CONTRACTS, nameOf } from "./contracts.ts";
import { golden, present } from "./golden.ts";

interface PyramidFile {
  readonly variants: {
    readonly main: {
      readonly budget_table: {
        n: number;
        budget: number;
        window: number;
        layers: number;
        beta: number;
        stored: number[];
      }[];
    };
  };
}

const hparams = {
  nLayers: 4,
  nHeads: 4,
  nKvHeads: 2,
  headDim: 32,
  valueDim: 32,
  positions: "rope",
  attentionSoftcap: 0,
  windows: [0, 0, 0, 0],
} as unknown as Hparams;
const Q8 = { k: "q8_0", v: "q8_0" } as const;
const plan = (options: CacheOptions, more: Partial<Hparams> = {}) =>
  planCache({ ...hparams, ...more }, Q8, options, 32, 1000);

Deno.test("options that do not make sense are refused by name", () => {
  const bad: [CacheOptions, string][] = [
    [{ policy: "h20" }, 'policy is "h20", wanted one of full, window'],
    [{ policy: "h2o:window=3" }, 'parameter of h2o is "window", wanted one of recent'],
    [{ policy: "h2o:recent" }, "h2o:recent"],
    [{ policy: "h2o:decay=2" }, "a number from 0 to 1"],
    [{ policy: "keyformer:noise=white" }, "none, gaussian, gumbel"],
    [{ policy: "keyformer:tau_init=0.1" }, "a number of at least 0.5"],
    [{ policy: "keyformer:steps=1.5" }, "a whole number of at least 1"],
    [{ policy: "full:sinks=4" }, "parameter of full"],
    [{ policy: "window", budget: 0 }, "budget is 0, wanted a share"],
    [{ policy: "window", budget: 2.5 }, "budget is 2.5"],
    [{ policy: "window", budget: "many" }, "budget"],
    [{ policy: "h2o:recent=64", budget: 64 }, "budget is 64, wanted at least 65 slots"],
    [{ policy: "streaming_llm:sinks=8", budget: 9 }, "at least 10 slots"],
    [{ policy: "snapkv", budget: 0.01 }, "at least 33 slots"],
    [{ policy: "window", budget: "1kB" }, "budget"],
    [{ policy: "window", prefill: "lazy" as "whole" }, "prefill"],
    [{ policy: "window", positions: "newest" as "compact" }, "original or compact"],
    [{ positions: "compact" }, "a policy beside it"],
    [
      { policy: "snapkv", prefill: "whole", positions: "compact", storage: "kivi" },
      "kivi codes keys where their token stood",
    ],
    [{ policy: "expected_attention", positions: "compact" }, "expects queries at positions of the text"],
    [{ policy: "reconstruction", positions: "compact" }, "expects queries at positions of the text"],
    [{ policy: "keyformer:score=shared,pyramid=4", budget: 200 }, "budget per layer"],
    [{ policy: "h2o", budgetRule: "adakv:alpha=2" }, "a number from 0 to 1"],
    [{ policy: "h2o", budgetRule: "fair" }, "one of uniform, adakv"],
    [{ policy: "window", budgetRule: "adakv" }, 'budgetRule is "adakv", wanted a policy that ranks'],
    [{ policy: "tova", budgetRule: "adakv" }, "which tova does not"],
    [{ policy: "keydiff", budgetRule: "mass" }, "which those of keydiff are not"],
    [{ policy: "h2o", victims: "burn" }, "one of drop, mass_fold"],
    [{ policy: "h2o", victims: "merge_nearest" }, "one of drop, mass_fold"],
    [{ policy: "keydiff", victims: "mass_fold" }, "which those of keydiff are not"],
    [{ policy: "keyformer:score=shared", victims: "mass_fold" }, "victims"],
    [{ policy: "massfold", victims: "drop" }, "mass_fold, as massfold is made for it"],
    [{ policy: "elastic", victims: "mass_fold" }, "merge_nearest, as elastic is made for it"],
    [{ policy: "elastic:every=2" }, "every is 2"],
    [
      { policy: "expected_attention", prefill: "whole", storage: "kivi" },
      'storage is "kivi", wanted plain, whose keys and values expected_attention can look at',
    ],
    [
      { policy: "snapkv", prefill: "whole", victims: "mass_fold", storage: "kivi" },
      "snapkv with victims mass_fold",
    ],
    [{ policy: "h2o", victims: "mass_fold", read: "quest" }, 'read is "quest", wanted dense'],
    [{ budgetRule: "adakv" }, "a policy beside it"],
    [{ victims: "mass_fold" }, "a policy beside it"],
    [{ budget: 0.5 }, "a policy beside it"],
    [{ policy: "full", prefill: "whole" }, "a policy beside it"],
  ];
  for (const [options, message] of bad) {
    assertThrows(() => plan(options), OptionError, message, JSON.stringify(options));
  }
  const compact = { policy: "window", positions: "compact" } as const;
  assertThrows(() => plan(compact, { positions: "learned" }), OptionError, "learned positions are part of");
  assertThrows(() => plan(compact, { positions: "none" }), OptionError, "the model has no positions");
  // A policy's own wish is no order.
  assertEquals(plan({ policy: "streaming_llm" }).positions, "compact");
  assertEquals(plan({ policy: "streaming_llm" }, { positions: "learned" }).positions, "original");
});

Deno.test("a streamed prompt gets slots for the budget and a chunk, a whole one for all of it", () => {
  assertEquals(plan({}).capacities, [1024, 1024, 1024, 1024]);
  assertEquals(plan({ policy: "h2o", budget: 100 }).capacities, [160, 160, 160, 160]);
  assertEquals(plan({ policy: "h2o", budget: 0.25 }).capacities[0], 288);
  assertEquals(plan({ policy: "h2o:every=8", budget: 0.25 }).capacities[0], 320);
  assertEquals(plan({ policy: "h2o", budget: 0.25, prefill: "whole" }).capacities[0], 1024);
  assertEquals(plan({ policy: "snapkv:reserve=100", budget: 100 }).capacities[0], 256);
  // More than the text can have is never allocated.
  assertEquals(plan({ policy: "h2o", budget: 5000 }).capacities[0], 1024);
});

Deno.test("a budget in bytes is what the cache of a sequence takes at most", () => {
  for (const policy of ["window", "h2o", "keyformer:every=8", "tova"]) {
    for (const budget of [200e3, 123_456, 400e3]) {
      const { capacities, scoreRows } = plan({ policy, budget: `${budget}B` });
      // Per KV head: keys of 32 bytes and a scale, the same for values, a position.
      const slot = 2 * (36 + 36 + 4) + 4 * scoreRows;
      const bytes = capacities.reduce((sum, slots) => sum + slots * slot, 0);
      assert(bytes <= budget && bytes > budget - 4 * 33 * slot, `${policy}: ${bytes} of ${budget}`);
    }
  }
  const fixed = perLayer(readPolicy("h2o")!, () => 64);
  assertEquals(plan({ policy: fixed, budget: "1MB" }).capacities, [96, 96, 96, 96]);
  assertEquals(readBudget("1.5 KiB"), { unit: "bytes", value: 1536 });
  assertEquals(readBudget("1"), { unit: "share", value: 1 });
});

Deno.test("a budget in bytes counts what lies beside the slots, whatever the system", () => {
  // Slots for a chunk are more than all others, or fewer.
  for (const chunk of [16, 96]) {
    for (const contract of CONTRACTS) {
      const { policy, options: { calibration, ...axes } = {} } = contract;
      if (policy === "full" || calibration !== undefined || axes.prefill === "whole") continue;
      // Everything stays: the budget is how many tokens matter.
      if (policy.includes("demote")) continue;
      const budget = 600e3;
      const planned = planCache(hparams, Q8, { policy, ...axes, budget: `${budget}B` }, chunk, 1000);
      const bytes = laidBytes(planned);
      assert(bytes <= budget, `${nameOf(contract)}, chunks of ${chunk}: ${bytes} of ${budget}`);
      const { budget: { value } } = planned;
      if (planned.capacities.some((slots) => slots === 1024)) continue;
      const more = planCache(hparams, Q8, { policy, ...axes, budget: value + 33 }, chunk, 1000);
      assert(laidBytes(more) > budget, `${nameOf(contract)}, chunks of ${chunk}: room for more`);
    }
  }
});

/** Bytes of a sequence's caches, counted handle by handle. */
function laidBytes(planned: CachePlan): number {
  const layout = new Layout(0);
  layCaches(planned, layout, layout);
  const rows = planned.policy?.shared ? [planned.capacities[0]] : planned.capacities;
  return layout.bytes + 4 * planned.scoreRows * rows.reduce((a, b) => a + b);
}

Deno.test("a head under AdaKV may keep a multiple of the budget, which is allocated and counted", () => {
  const cap = (cap: number, more: CacheOptions = {}) =>
    plan({ policy: "h2o", budget: 100, budgetRule: `adakv:cap=${cap}`, ...more });
  // Slots for the cap, and a chunk of 32.
  assertEquals(cap(2).capacities[0], 256);
  assertEquals(cap(1.5).capacities[0], 192);
  assertEquals(cap(2).mostSlots[0], 112);
  assertEquals(cap(2, { prefill: "whole" }).capacities[0], 1024);
  const { capacities, budget } = cap(2, { budget: "200kB" });
  // Per KV head: keys of 32 bytes and a scale, the same for values, a position, a score.
  assert(capacities.reduce((sum, slots) => sum + slots * 2 * (36 + 36 + 4 + 4), 0) <= 200e3);
  assertEquals(budget, { unit: "slots", value: (capacities[0] - 32) / 2 });
});

Deno.test("what mass_fold needs is part of the plan", () => {
  const bytes = (victims: string) => {
    const layout = new Layout(0);
    layCaches(plan({ policy: "h2o", budget: 100, victims }), layout, layout);
    return layout.bytes;
  };
  assertEquals(bytes("mass_fold") - bytes("drop"), 4 * 2 * 160 * 4);
});

Deno.test("the budget of elastic grows with the text", () => {
  const { policy, budget, capacities } = plan({ policy: "elastic", budget: 0.5 });
  assertEquals([1, 2, 3, 999].map((n) => budgetAt({ policy, budget }, n)), [1, 1, 2, 500]);
  assertEquals(capacities[0], 544);
});

Deno.test("layers may get different budgets around the same mean", () => {
  const { capacities } = plan({
    policy: pyramid(readPolicy("h2o:recent=8")!, 4),
    budget: 200,
    prefill: "streaming",
  });
  assertEquals(capacities, [...capacities].sort((a, b) => b - a));
  assert(capacities[0] > capacities[3]);
  const halves = perLayer(readPolicy("window")!, (budget, layer) => layer < 2 ? budget : budget / 2);
  assertEquals(plan({ policy: halves, budget: 128 }).capacities, [160, 160, 96, 96]);
});

Deno.test({
  name: "pyramidkv.json: budgets of the layers, where the prompt is long enough for the first",
  ignore: !present,
  fn: async () => {
    const { variants: { main: { budget_table } } } = (await golden<PyramidFile>("pyramidkv.json"))!;
    const long = budget_table.filter(({ n, budget, window }) => 2 * (budget - window) <= n - window);
    assert(long.length >= 3);
    for (const { budget, window, layers, beta, stored } of long) {
      const policy = pyramid(readPolicy(`snapkv:window=${window}`)!, beta);
      assertEquals(layerBudgets(policy, budget, layers), stored);
    }
  },
});

Deno.test("every policy can be made without any parameter, and says what it is", () => {
  for (const { name, summary, source, cost } of POLICIES) {
    const policy = readPolicy(name);
    assertEquals(policy?.name ?? "full", name);
    assert(summary.length > 10 && source !== "" && cost !== "");
  }
});
