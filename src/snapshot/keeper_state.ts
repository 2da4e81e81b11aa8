/**
 * What a policy's keeper knows beside slots and scores.
 *
 * @module
 */
import type { KeeperState } from "../cache/cache_keeper.ts";
import type { CachePlan } from "../cache/cache_plan.ts";
import { isCount } from "../count.ts";
import { SnapshotError } from "../error.ts";

/** Tokens that a KV head of a layer can hold between two calls, with room for the next chunk. */
export function mostHeld({ policy, budgetRule, capacities, mostSlots }: CachePlan, layer: number): number {
  return policy?.steps
    ? Math.min(
      capacities[layer],
      Math.floor(mostSlots[layer] * (budgetRule?.most ?? 1)) + (policy.every ?? 1) - 1,
    )
    : capacities[layer];
}

/**
 * A keeper's state as it was saved, when this plan can go on with it.
 *
 * @throws {SnapshotError} Naming what it can't go on with.
 */
export function readKeeperState(found: unknown, { policy, mostSlots }: CachePlan): KeeperState | null {
  if (policy === null) {
    if (found === null) return null;
    throw new SnapshotError("state of the policy", found, "none");
  }
  const { step, peak, budgets } = (found ?? {}) as Partial<KeeperState>;
  for (const [name, value] of Object.entries({ step, peak })) {
    if (!isCount(value)) throw new SnapshotError(name, value, "a whole number");
  }
  if (!Array.isArray(budgets) || budgets.length !== mostSlots.length) {
    throw new SnapshotError("budgets", budgets, `one for each of ${mostSlots.length} layers`);
  }
  budgets.forEach((budget, layer) => {
    if (isCount(budget) && budget > 0 && budget <= mostSlots[layer]) return;
    throw new SnapshotError(
      `budget of layer ${layer}`,
      budget,
      `at most ${mostSlots[layer]} slots, as planned`,
    );
  });
  return { step: step!, peak: peak!, budgets };
}
