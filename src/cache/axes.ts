/**
 * How the axes of a system go together: a policy with its budget rule and what becomes of tokens that leave. What makes
 * no sense is refused by name before anything is loaded.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { BudgetRule } from "./budget_rule.ts";
import { readBudgetRule } from "./budget_rules/mod.ts";
import type { Policy, Victims } from "./policy.ts";
import type { ReadPlan, StoragePlan } from "./storage.ts";
import { readVictims } from "./victims.ts";

/** The axes beside a policy that a caller may name. */
export interface AxisOptions {
  /**
   * How a layer's budget is spread over its KV heads: `NAME[:key=value,…]`. Default: the policy's, or `uniform`.
   */
  readonly budgetRule?: string;
  /** What becomes of tokens that leave: `drop` or `mass_fold`. Default: the policy's, or `drop`. */
  readonly victims?: string;
}

/** What the options ask for. */
export interface Axes {
  /** None: everything stays. */
  readonly policy: Policy | null;
  /** None: every KV head keeps as many. */
  readonly budgetRule: BudgetRule | null;
}

/**
 * Puts the axes beside a policy.
 *
 * @throws {OptionError} When a name is unknown, or the policy's scores are not what an axis needs.
 */
export function readAxes(policy: Policy | null, options: AxisOptions): Axes {
  if (policy === null) {
    for (const option of ["budgetRule", "victims"] as const) {
      if (options[option] === undefined) continue;
      throw new OptionError(option, options[option], "a policy beside it: `full` keeps everything");
    }
    return { policy, budgetRule: null };
  }
  const budgetRule = readBudgetRule(options.budgetRule ?? policy.budgetRule ?? "uniform");
  if (budgetRule !== null && policy.ranks === undefined) {
    const wanted = `a policy that ranks the tokens of each KV head, which ${policy.name} does not`;
    throw new OptionError("budgetRule", budgetRule.name, wanted);
  }
  if (budgetRule?.needs !== undefined && policy.ranks !== budgetRule.needs) {
    const wanted = `a policy whose scores are attention, which those of ${policy.name} are not`;
    throw new OptionError("budgetRule", budgetRule.name, wanted);
  }
  const asked = options.victims === undefined ? undefined : readVictims(options.victims);
  const victims: Victims = asked ?? policy.victims ?? "drop";
  if (policy.victims !== undefined && policy.victims !== victims) {
    throw new OptionError("victims", victims, `${policy.victims}, as ${policy.name} is made for it`);
  }
  if (victims === "mass_fold" && (policy.ranks !== "attention" || policy.shared)) {
    const wanted =
      `a policy whose scores are attention of each KV head and layer, which those of ${policy.name} are not`;
    throw new OptionError("victims", victims, wanted);
  }
  return { policy: { ...policy, victims }, budgetRule };
}

/**
 * Refuses a policy that looks at stored keys and values, or changes them, where they are hidden.
 *
 * @throws {OptionError} Naming both.
 */
export function checkStored({ policy }: Axes, storage: StoragePlan, read: ReadPlan | null): void {
  if (read !== null && storage.name !== "plain") {
    throw new OptionError(
      "read",
      `${read.name} over ${storage.name}`,
      "dense, or storage plain, whose keys it can look at",
    );
  }
  if (policy === null) return;
  if (policy.needsRead && read?.name !== policy.read!.split(":")[0]) {
    throw new OptionError("read", read?.name ?? "dense", `none beside ${policy.name}, which brings its own`);
  }
  const demotes = policy.victims === "demote";
  if (demotes && !storage.demotes) {
    throw new OptionError("storage", storage.name, `mixed, in which ${policy.name} can demote tokens`);
  }
  const joins = policy.victims !== undefined && policy.victims !== "drop" && !demotes;
  const what = joins ? `${policy.name} with victims ${policy.victims}` : policy.name;
  if ((joins || policy.readsStored) && storage.name !== "plain") {
    throw new OptionError("storage", storage.name, `plain, whose keys and values ${what} can look at`);
  }
  if (joins && read !== null) {
    throw new OptionError(
      "read",
      read.name,
      `dense: an index does not follow when slots are joined, as by ${what}`,
    );
  }
}
