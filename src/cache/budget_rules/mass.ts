import type { BudgetRuleEntry } from "../budget_rule.ts";

/**
 * Every head keeps as many tokens as it needs for a share `tau` of all attention that it has scored, and no more than the
 * budget.
 */
export const mass: BudgetRuleEntry = {
  name: "mass",
  summary: "Keeps the fewest tokens of each KV head that have a share of its attention; the budget is a cap",
  source: "arXiv 2410.08584 §4.2",
  cost: "some thirty passes over the scores whenever it reduces",
  params: { tau: { default: 0.97, help: "Share of the scores' sum", least: 0, most: 1 } },
  create: (values) => {
    const tau = values.number("tau");
    return {
      name: "mass",
      params: values.all,
      most: 1,
      needs: "attention",
      choose(layer) {
        layer.cutShare(tau);
        layer.select();
      },
    };
  },
};
