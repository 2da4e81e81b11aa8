import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, RESERVE } from "./params.ts";

/**
 * Keys that cover all others: from the first token on always the key that is farthest from those chosen so far. This is
 * what SubGen's published experiments run, once at the end of a prompt; the stream of that paper is `subgen`.
 */
export const kCenter: PolicyEntry = {
  name: "k_center",
  summary: "Keeps the latest tokens of the prompt and those whose keys are far from each other",
  source: "arXiv 2402.06082 §5",
  cost: "nothing; at the end of the prompt one distance per slot and token kept",
  params: {
    recent: recentParam(0.3),
    reserve: RESERVE,
  },
  create: (values) => {
    const recent = values.number("recent");
    return {
      name: "k_center",
      params: values.all,
      minBudget: leastBudget(0, recent),
      scores: "none",
      promptRows: "none",
      steps: false,
      reserve: values.number("reserve"),
      readsStored: true,
      reduce(layer) {
        const latest = slotsOf(recent, layer.budget);
        layer.farApart({ count: layer.budget - latest, recent: latest });
        layer.keep({ budget: layer.budget, recent: latest, by: "scratch" });
      },
    };
  },
};
