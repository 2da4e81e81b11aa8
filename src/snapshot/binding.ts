/**
 * What a snapshot belongs to. It is restored only where each of these is the same.
 *
 * @module
 */
import { type CachePlan, layerBudgets } from "../cache/cache_plan.ts";
import type { KvTypes } from "../cache/kv_cache.ts";
import { SnapshotError } from "../error.ts";
import { slotwise } from "./cache_sections.ts";
import { canonical } from "./fingerprint.ts";

/** Values by name, each of which JSON can hold. */
export type Binding = Readonly<Record<string, unknown>>;

/** Of how kernels lay slots, codes and states in memory: raised by who changes that, so that older bytes are refused. */
const LAYOUT = 2;

/** A mean budget by which the budgets of layers are compared. */
const PROBE = 4096;

/**
 * Binds to a model, to how its cache is stored and to the rules by which it is reduced, not to its capacity.
 *
 * @param model Its fingerprint.
 */
export function bindingOf(model: string, kvType: KvTypes, plan: CachePlan): Binding {
  const { policy, budgetRule, budget, prefill, positions, storage, read, capacities } = plan;
  return {
    model,
    layout: LAYOUT,
    keys: kvType.k,
    values: kvType.v,
    storage: storage.name,
    "storage parameters": storage.params,
    reader: read?.name ?? "dense",
    "reader parameters": read?.params ?? {},
    capacities: slotwise(plan) && read === null ? "any" : capacities,
    policy: policy?.name ?? "full",
    "policy parameters": policy?.params ?? {},
    ...(policy !== null && {
      "scores of the policy": [policy.scores, policy.shared ?? false],
      "steps of the policy": [policy.steps, policy.every ?? 1],
      "budgets of layers": policy.layerBudget === undefined
        ? "equal"
        : layerBudgets(policy, PROBE, capacities.length),
      "budget rule": [budgetRule?.name ?? "uniform", budgetRule?.params ?? {}],
      victims: policy.victims ?? "drop",
      budget,
      prefill,
      positions,
    }),
  };
}

/** @throws {SnapshotError} Naming the first value that differs. */
export function checkBinding(found: unknown, wanted: Binding): void {
  const values = (found ?? {}) as Binding;
  for (const name of Object.keys(wanted)) {
    const [one, other] = [canonical(values[name] ?? null), canonical(wanted[name])];
    if (one !== other) throw new SnapshotError(name, values[name] ?? "missing", wanted[name]);
  }
}
