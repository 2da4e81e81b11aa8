import type { BudgetRuleEntry } from "../budget_rule.ts";

/** All KV heads of a layer keep as many. */
export const uniform: BudgetRuleEntry = {
  name: "uniform",
  summary: "Every KV head keeps as many tokens",
  source: "",
  cost: "nothing",
  params: {},
  create: () => null,
};
