import type { BudgetRuleEntry } from "../budget_rule.ts";

/**
 * Heads whose attention spreads wide keep more than those that look at few tokens: each is sure of the share `alpha` of
 * what it could choose, and the best of all heads share the rest. Slots are planned per head and not pooled, so that a
 * head may have `cap` times the mean and no more; memory is taken for that many.
 */
export const adakv: BudgetRuleEntry = {
  name: "adakv",
  summary:
    "Spreads a layer's budget over its KV heads by score, with a share that is safe and a cap for each",
  source: "arXiv 2407.11550",
  cost: "slots for `cap` times the budget; a sort of the layer's scores whenever it reduces",
  params: {
    alpha: { default: 0.2, help: "Share of its budget that every head is sure of", least: 0, most: 1 },
    cap: { default: 2, help: "Most slots of a head, in multiples of the budget", least: 1, most: 64 },
  },
  create: (values) => {
    const alpha = values.number("alpha");
    return {
      name: "adakv",
      params: values.all,
      most: values.number("cap"),
      choose(layer) {
        const free = Math.max(0, layer.budget - layer.sinks - layer.recent);
        layer.spread(layer.nKvHeads * layer.budget, Math.floor(alpha * free + 1e-9));
      },
    };
  },
};
