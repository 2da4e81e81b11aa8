import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { assertClose } from "./golden.ts";
import { Oracle, type OracleOptions } from "./oracle.ts";
import { type Heads, makeRig, type RigOptions } from "./rig.ts";

const HEAD_DIM = 8;

/** Numbers that look normal, from a seed. */
function heads(seed: number, nHeads: number, n: number, scale = 1): Heads {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const normal = () => uniform() + uniform() + uniform() + uniform() + uniform() + uniform() - 3;
  return Array.from(
    { length: nHeads },
    () => Array.from({ length: n }, () => Array.from({ length: HEAD_DIM }, () => scale * 1.4 * normal())),
  );
}

const cases = fc.record({
  seed: fc.nat(),
  nKvHeads: fc.integer({ min: 1, max: 2 }),
  group: fc.integer({ min: 1, max: 3 }),
  prompt: fc.integer({ min: 1, max: 60 }),
  chunk: fc.integer({ min: 1, max: 24 }),
  steps: fc.integer({ min: 0, max: 20 }),
  budget: fc.integer({ min: 12, max: 70 }),
  recent: fc.integer({ min: 1, max: 8 }),
  sinks: fc.integer({ min: 0, max: 3 }),
  streaming: fc.boolean(),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function input({ seed, nKvHeads, group, prompt, steps }: Case) {
  const n = prompt + steps;
  return {
    n,
    q: heads(seed, nKvHeads * group, n, 2),
    k: heads(seed + 1, nKvHeads, n),
    v: heads(seed + 2, nKvHeads, n),
  };
}

function rigOptions(c: Case, policy: string): RigOptions {
  return {
    policy,
    budget: c.budget,
    nHeads: c.nKvHeads * c.group,
    nKvHeads: c.nKvHeads,
    headDim: HEAD_DIM,
    context: c.prompt + c.steps,
    chunk: Math.min(c.chunk, c.prompt + c.steps),
    prefill: c.streaming ? "streaming" : "whole",
  };
}

/** Budgets may be larger than the context of a small case. */
const fits = (c: Case) => c.prompt + c.steps >= c.chunk;

const POLICIES: readonly [text: (c: Case) => string, oracle: (c: Case) => Partial<OracleOptions>][] = [
  [() => "window", () => ({ policy: "window" })],
  [({ sinks }) => `streaming_llm:sinks=${sinks}`, ({ sinks }) => ({ policy: "streaming_llm", sinks })],
  [
    ({ sinks, recent }) => `h2o:recent=${recent},sinks=${sinks}`,
    ({ sinks, recent }) => ({ policy: "h2o", sinks, recent }),
  ],
  [({ recent }) => `h2o:recent=${recent},decay=0.9`, ({ recent }) => ({ policy: "h2o", recent, decay: 0.9 })],
  [
    ({ recent }) => `keyformer:recent=${recent},steps=16`,
    ({ recent }) => ({ policy: "keyformer", recent, tau: (step) => 1 + Math.min(1, step / 16) }),
  ],
  [() => "tova", () => ({ policy: "tova" })],
];

for (const [text, oracle] of POLICIES) {
  const name = text({ sinks: 2, recent: 3 } as Case);
  Deno.test(`${name} equals the oracle, in chunks and steps, with grouped heads`, async () => {
    await fc.assert(
      fc.asyncProperty(cases.filter(fits), async (c) => {
        const { q, k, v, n } = input(c);
        const noise = name.startsWith("keyformer")
          ? heads(c.seed + 3, q.length, n).map((rows) =>
            rows.map((_, i) => heads(c.seed + i, 1, n)[0].map(([x]) => x))
          )
          : undefined;
        const rig = await makeRig({ ...rigOptions(c, text(c)), noise });
        const wanted = new Oracle(
          {
            nHeads: q.length,
            nKvHeads: c.nKvHeads,
            headDim: HEAD_DIM,
            budget: c.budget,
            noise,
            ...oracle(c),
          } as OracleOptions,
          q,
          k,
          v,
        );
        rig.keeper!.openPrompt(0, c.prompt);
        const out = rig.prompt(q, k, v, c.prompt);
        const chunk = Math.min(c.chunk, n);
        for (let start = 0; start < c.prompt; start += chunk) {
          const nTokens = Math.min(chunk, c.prompt - start);
          const last = wanted.prompt(nTokens);
          if (c.streaming || start + nTokens === c.prompt) wanted.reduce();
          out[start + nTokens - 1].forEach((x, head) => assertClose(x, last[head], 1e-4, "prompt"));
        }
        assertEquals(rig.kept(), wanted.kept());
        for (let step = 0; step < c.steps; step++) {
          const got = rig.step(q, k, v);
          wanted.step().forEach((x, head) => assertClose(got[head], x, 1e-4, `step ${step}`));
          assertEquals(rig.kept(), wanted.kept());
        }
      }),
      { numRuns: 40, seed: 7 },
    );
  });
}

/** What a system promises; `options` beside the policy. */
interface Contract {
  readonly policy: string;
  readonly options?: Partial<RigOptions>;
  /** Latest and first tokens that stay in any case. */
  readonly recent?: number;
  readonly sinks?: number;
  /** Slots of a KV head beyond the budget after a number of steps. */
  readonly beyond?: (step: number, budget: number) => number;
  /** Where the budget is that of a layer's heads together. */
  readonly pooled?: boolean;
  /** All heads and layers keep the same. */
  readonly alike?: boolean;
  /** Budget of the layers together, where they differ. */
  readonly layered?: boolean;
}

const reserved = (step: number) => step;
const CONTRACTS: readonly Contract[] = [
  { policy: "window", recent: 4, alike: true },
  { policy: "streaming_llm", recent: 4, sinks: 4, alike: true },
  { policy: "cascading:buffers=2", recent: 4, sinks: 4 },
  { policy: "h2o:recent=4", recent: 4 },
  { policy: "h2o:recent=4,sinks=2", options: { budgetRule: "adakv" }, recent: 4, sinks: 2, pooled: true },
  { policy: "h2o:recent=4", options: { victims: "mass_fold" }, recent: 4 },
  { policy: "h2o:recent=4", options: { budgetRule: "threshold:least=0.3" }, recent: 4 },
  { policy: "h2o:recent=4", options: { budgetRule: "mass:tau=0.6" }, recent: 4 },
  { policy: "keyformer:recent=4", recent: 4 },
  { policy: "keyformer:recent=4,noise=gaussian,queries=last", recent: 4 },
  { policy: "keyformer:recent=4,score=shared", recent: 4 },
  { policy: "keyformer:recent=4,every=4", recent: 4, beyond: () => 3 },
  {
    policy: "keyformer:recent=4",
    options: { budgetRule: "adakv:cap=1.5", victims: "mass_fold" },
    recent: 4,
    pooled: true,
  },
  { policy: "tova", alike: true },
  { policy: "snapkv:window=4,reserve=32", recent: 4, beyond: reserved },
  { policy: "pyramidkv:window=4,reserve=32,beta=4", recent: 4, beyond: reserved, layered: true },
  { policy: "massfold:window=4,reserve=32", recent: 4, beyond: reserved },
  { policy: "expected_attention:future=16,reserve=32", sinks: 4, beyond: reserved },
  {
    policy: "expected_attention:future=16,reserve=32",
    options: { budgetRule: "adakv", victims: "mass_fold" },
    sinks: 4,
    beyond: reserved,
    pooled: true,
  },
  { policy: "reconstruction:reserve=32", sinks: 4, beyond: reserved },
  { policy: "elastic:distance=4", sinks: 1, recent: 1, alike: true },
  { policy: "corm:window=100,recent=4", recent: 4 },
  { policy: "corm:window=6,recent=4,sinks=2", recent: 4, sinks: 2 },
  { policy: "keydiff" },
  { policy: "keydiff:recent=4,sinks=1", options: { budgetRule: "adakv" }, recent: 4, sinks: 1, pooled: true },
  { policy: "knorm:recent=4", recent: 4 },
  { policy: "zipvl:tau=0.9,recent=4,random=4,reserve=32", recent: 1, beyond: reserved, alike: true },
  { policy: "random:recent=4", recent: 4 },
];

/** Whether a budget of the whole text leaves all of it in place. */
const keepsAll = ({ policy, options }: Contract) =>
  !/^(corm:window=6|zipvl)/.test(policy) && !/^(threshold|mass)/.test(options?.budgetRule ?? "");

for (const contract of CONTRACTS) {
  const { policy, options: axes, recent = 0, sinks = 0, beyond = () => 0, pooled, alike, layered } = contract;
  const name = [policy, ...Object.values(axes ?? {})].join(", ");

  Deno.test(`${name}: kept <= budget, the latest and the sinks stay, all seeds repeat`, async () => {
    await fc.assert(
      fc.asyncProperty(cases.filter(fits), async (c) => {
        const { q, k, v } = input(c);
        const options = { ...rigOptions(c, policy), ...axes, nLayers: 2 };
        const [rig, again] = [await makeRig(options), await makeRig(options)];
        const other = await makeRig({ ...options, binary: "relaxed" });
        const prompts = [rig, again, other].map((rig) => rig.prompt(q, k, v, c.prompt).at(-1)!);
        assertEquals(prompts[0], prompts[1]);
        const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
        const check = (read: number, step: number) => {
          const held = [0, 1].map((layer) => rig.kept(layer).map((kept) => kept.length));
          const most = c.budget + beyond(step, c.budget);
          if (layered) assert(sum(held.map((heads) => Math.max(...heads))) <= 2 * most);
          else if (pooled) {
            held.forEach((heads) => assert(sum(heads) <= heads.length * most, `${heads} of ${most}`));
          } else held.flat().forEach((n) => assert(n <= most, `${n} of ${most}`));
          for (const layer of [0, 1]) {
            for (const kept of rig.kept(layer)) {
              const latest = Array.from({ length: Math.min(recent, read) }, (_, i) => read - 1 - i);
              const first = Array.from({ length: Math.min(sinks, read) }, (_, i) => i);
              assert(
                [...latest, ...first].every((position) => kept.includes(position)),
                `${kept} of ${read}`,
              );
              if (alike) assertEquals(kept, rig.kept(0)[0]);
            }
          }
          assertEquals(rig.kept(), again.kept());
          assertEquals(rig.kept(), other.kept());
        };
        check(c.prompt, 0);
        for (let step = 1; step <= c.steps; step++) {
          const [got, same, close] = [rig, again, other].map((rig) => rig.step(q, k, v));
          assertEquals(got, same);
          got.forEach((row, head) => assertClose(close[head], row, 1e-4, "relaxed"));
          check(c.prompt + step, step);
        }
        if (policy.includes("shared")) assertEquals(rig.kept(0), rig.kept(1));
        for (const one of [rig, other]) assertEquals(one.brokenGuards(), []);
      }),
      { numRuns: 20, seed: 8 },
    );
  });

  if (!keepsAll(contract)) continue;
  Deno.test(`${name}: a budget of the whole text gives the same bits as no policy`, async () => {
    await fc.assert(
      fc.asyncProperty(cases.filter(fits), async (c) => {
        const { q, k, v, n } = input(c);
        const options = rigOptions(c, policy);
        const rig = await makeRig({ ...options, ...axes, budget: Math.max(16, n + 1) });
        const full = await makeRig({ ...options, policy: "full", budget: undefined, prefill: undefined });
        assertEquals(rig.prompt(q, k, v, c.prompt), full.prompt(q, k, v, c.prompt));
        for (let step = 0; step < c.steps; step++) assertEquals(rig.step(q, k, v), full.step(q, k, v));
      }),
      { numRuns: 12, seed: 9 },
    );
  });
}

Deno.test("the token after an eviction takes the slot that was freed, and no other slot changes", async () => {
  const c = {
    seed: 1,
    nKvHeads: 2,
    group: 2,
    prompt: 40,
    chunk: 40,
    steps: 12,
    budget: 16,
    recent: 4,
    sinks: 0,
    streaming: false,
  };
  const { q, k, v } = input(c);
  for (const kvType of ["f32", "f16", "q8_0", "q4_0"] as const) {
    const rig = await makeRig({ ...rigOptions(c, "h2o:recent=4"), kvType });
    rig.prompt(q, k, v, c.prompt);
    const { keys, values } = rig.caches[0];
    const memory = () =>
      [keys, values].map(({ offset, length }) => rig.arena.bytes.slice(offset, offset + length));
    rig.step(q, k, v);
    for (let step = 1; step < c.steps; step++) {
      const [slotsBefore, before] = [rig.slots(), memory()];
      rig.step(q, k, v, () => {
        const slots = rig.slots();
        const after = memory();
        slots.forEach((held, head) => {
          slotsBefore[head].forEach((slot, position) => assertEquals(held.get(position), slot));
          assertEquals(held.size, slotsBefore[head].size + 1);
        });
        const changed = before.map((bytes, i) =>
          bytes.reduce((n, byte, j) => n + (byte === after[i][j] ? 0 : 1), 0)
        );
        // Four-bit codes of two slots share a byte of values.
        const perSlot = [keys, values].map(({ length }) =>
          length / rig.caches[0].capacity * (kvType === "q4_0" ? 2 : 1)
        );
        changed.forEach((n, i) =>
          assert(n <= perSlot[i], `${n} bytes changed, a slot of all heads has ${perSlot[i]}`)
        );
      });
    }
  }
});

Deno.test("among equal scores the earlier position stays", async () => {
  const c = {
    seed: 1,
    nKvHeads: 1,
    group: 1,
    prompt: 24,
    chunk: 24,
    steps: 0,
    budget: 12,
    recent: 2,
    sinks: 0,
    streaming: false,
  };
  const zero: Heads = [Array.from({ length: 24 }, () => new Array(HEAD_DIM).fill(0))];
  // Equal logits and only the last row: every token weighs the same.
  const rig = await makeRig(rigOptions(c, "keyformer:recent=2,noise=none,queries=last"));
  rig.prompt(zero, zero, zero, 24);
  assertEquals(rig.kept()[0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 22, 23]);
});

Deno.test("what is forgotten from a position on leaves no score behind", async () => {
  const c = {
    seed: 5,
    nKvHeads: 1,
    group: 2,
    prompt: 30,
    chunk: 8,
    steps: 12,
    budget: 12,
    recent: 4,
    sinks: 0,
    streaming: true,
  };
  const { q, k, v } = input(c);
  const rig = await makeRig(rigOptions(c, "h2o:recent=4"));
  rig.prompt(q, k, v, 30);
  rig.truncate(28);
  assert(rig.kept()[0].every((position) => position < 28));
  rig.step(q, k, v, () => {
    const values = rig.scores(0);
    // The new token has its own first weight alone, from each of two query heads.
    assert(values.at(-1)! > 0 && values.at(-1)! < 2);
  });
});
