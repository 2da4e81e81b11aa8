import type { BudgetRuleEntry } from "../budget_rule.ts";

/** The text decides how much it takes: what scores enough stays, and the budget is a cap. */
export const threshold: BudgetRuleEntry = {
  name: "threshold",
  summary: "Drops whatever scores below a bound; the budget is a cap",
  source: "arXiv 2601.07891 §3",
  cost: "a pass over the scores whenever it reduces",
  params: { least: { default: 0.001, help: "Score that a token needs to stay" } },
  create: (values) => {
    const least = values.number("least");
    return {
      name: "threshold",
      params: values.all,
      most: 1,
      choose(layer) {
        layer.cutBelow(least);
        layer.select();
      },
    };
  },
};
