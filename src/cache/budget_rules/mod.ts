/**
 * All budget rules that can be named.
 *
 * @module
 */
import type { BudgetRule, BudgetRuleEntry } from "../budget_rule.ts";
import { findEntry, readValues } from "../named.ts";
import { adakv } from "./adakv.ts";
import { mass } from "./mass.ts";
import { threshold } from "./threshold.ts";
import { uniform } from "./uniform.ts";

/** Every budget rule by name. */
export const BUDGET_RULES: readonly BudgetRuleEntry[] = [uniform, adakv, threshold, mass];

/**
 * The rule that `NAME[:key=value,…]` stands for; `null` for `uniform`.
 *
 * @throws {OptionError} When the name or a parameter is unknown, or a value out of its bounds.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readBudgetRule } from "./mod.ts";
 *
 * assertEquals(readBudgetRule("adakv:alpha=0.5")?.params, { alpha: 0.5, cap: 2 });
 * ```
 */
export function readBudgetRule(text: string): BudgetRule | null {
  const { entry, pairs } = findEntry("budgetRule", BUDGET_RULES, text);
  return entry.create(readValues(entry, pairs));
}
