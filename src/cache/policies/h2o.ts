import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, SINKS } from "./params.ts";

/**
 * Heavy hitters: a token's score is the attention it has received so far, from all rows of the prompt and all later
 * ones, per KV head the sum over its query heads. Half of the budget goes to the latest tokens.
 */
export const h2o: PolicyEntry = {
  name: "h2o",
  summary: "Keeps the latest tokens and those that have drawn most attention so far",
  source: "arXiv 2306.14048",
  cost: "4 bytes per slot and KV head; an exponential per query head and slot for every token read",
  params: {
    recent: recentParam(0.5),
    sinks: SINKS,
    decay: { default: 1, help: "Factor on all scores before each token's is added", least: 0, most: 1 },
  },
  create: (values) => {
    const [recent, sinks, decay] = ["recent", "sinks", "decay"].map((name) => values.number(name));
    const options = { decay };
    return {
      name: "h2o",
      params: values.all,
      minBudget: leastBudget(sinks, recent),
      scores: "kvHead",
      promptRows: "all",
      steps: true,
      ranks: "attention",
      observe: (layer) => layer.add(options),
      reduce: (layer) => layer.keep({ budget: layer.budget, sinks, recent: slotsOf(recent, layer.budget) }),
    };
  },
};
