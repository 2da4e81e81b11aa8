import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BUDGET_RULES } from "../../src/cache/budget_rules/mod.ts";
import { POLICIES } from "../../src/cache/policies/mod.ts";
import { READERS } from "../../src/cache/read/mod.ts";
import { STORAGES } from "../../src/cache/storage/mod.ts";
import { VICTIMS } from "../../src/cache/victims.ts";
import { type Case, cases, fits, HEAD_DIM, input, rigOptions, USUAL } from "./cases.ts";
import { type Contract, CONTRACTS, nameOf, someBooks } from "./contracts.ts";
import { assertClose } from "./golden.ts";
import { makeRig, type RigOptions } from "./rig.ts";

/** Positions of separators, where a policy asks for them. */
const SEPARATORS = Array.from({ length: 20 }, (_, i) => 3 + 7 * i % 5 + 4 * i);

/** The rig of a contract in one case. Separators are where they fall; `full` has no budget. */
function contractRig(c: Case, { policy, options }: Contract, more: Partial<RigOptions> = {}): RigOptions {
  const sizes = rigOptions(c, policy);
  const classes = SEPARATORS.filter((position) => position < sizes.context);
  const all = { ...sizes, classes, ...options, ...more };
  const calibration = options?.calibration && someBooks(all.nLayers ?? 1, c.nKvHeads, HEAD_DIM);
  const { budget, prefill, ...rest } = { ...all, ...(calibration && { calibration }) };
  return policy === "full" ? rest : { ...rest, budget, prefill };
}

for (const contract of CONTRACTS) {
  const { policy, recent = 0, sinks = 0, beyond = () => 0, pooled, alike, layered, close = 1e-4 } = contract;
  const name = nameOf(contract);

  Deno.test(`${name}: kept <= budget, the latest and the sinks stay, all seeds repeat`, async () => {
    await fc.assert(
      fc.asyncProperty(cases.filter(fits), async (c) => {
        const { q, k, v } = input(c);
        const options = contractRig(c, contract, { nLayers: 2 });
        const [rig, again] = [await makeRig(options), await makeRig(options)];
        const other = await makeRig({ ...options, binary: "relaxed" });
        const prompts = [rig, again, other].map((rig) => rig.prompt(q, k, v, c.prompt).at(-1)!);
        assertEquals(prompts[0], prompts[1]);
        const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
        const check = (read: number, step: number) => {
          const held = [0, 1].map((layer) => rig.kept(layer).map((kept) => kept.length));
          const most = policy === "full" ? read : c.budget + beyond(step);
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
          const [got, same, near] = [rig, again, other].map((rig) => rig.step(q, k, v));
          assertEquals(got, same);
          got.forEach((row, head) => assertClose(near[head], row, close, "relaxed"));
          check(c.prompt + step, step);
        }
        if (policy.includes("shared")) assertEquals(rig.kept(0), rig.kept(1));
        for (const one of [rig, other]) assertEquals(one.brokenGuards(), []);
      }),
      { numRuns: 20, seed: 8 },
    );
  });

  if (contract.whole === null) continue;
  Deno.test(`${name}: a budget of the whole text gives the same bits as no policy`, async () => {
    await fc.assert(
      fc.asyncProperty(cases.filter(fits), async (c) => {
        const { q, k, v, n } = input(c);
        const rig = await makeRig(
          contractRig({ ...c, budget: Math.max(16, n + 1) }, contract, contract.whole!),
        );
        const full = await makeRig(contractRig(c, { policy: "full" }));
        assertEquals(rig.prompt(q, k, v, c.prompt), full.prompt(q, k, v, c.prompt));
        for (let step = 0; step < c.steps; step++) assertEquals(rig.step(q, k, v), full.step(q, k, v));
      }),
      { numRuns: 12, seed: 9 },
    );
  });
}

Deno.test("whatever can be named has a contract", async () => {
  const used = {
    policy: new Set(),
    storage: new Set(),
    read: new Set(),
    rule: new Set(),
    victims: new Set(),
  };
  const c: Case = { ...USUAL, nKvHeads: 2, budget: 16 };
  for (const contract of CONTRACTS) {
    const { plan } = await makeRig(contractRig(c, contract));
    used.policy.add(plan.policy?.name ?? "full");
    used.storage.add(plan.storage.name);
    used.read.add(plan.read?.name ?? "dense");
    used.rule.add(plan.budgetRule?.name ?? "uniform");
    used.victims.add(plan.policy?.victims ?? "drop");
  }
  const known = { policy: POLICIES, storage: STORAGES, read: READERS, rule: BUDGET_RULES, victims: VICTIMS };
  for (const [axis, entries] of Object.entries(known)) {
    for (const { name } of entries) {
      assert(used[axis as keyof typeof used].has(name), `${axis} ${name} has no row in contracts.ts`);
    }
  }
});
