import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, SINKS } from "./params.ts";

/** Short keys tend to draw attention: those stay. A floor among the policies that look at keys alone. */
export const knorm: PolicyEntry = {
  name: "knorm",
  summary: "Keeps the shortest keys and the latest tokens",
  source: "arXiv 2406.11430",
  cost: "no bytes; a pass over the keys whenever it reduces",
  params: { recent: recentParam(0), sinks: SINKS },
  create: (values) => {
    const [recent, sinks] = ["recent", "sinks"].map((name) => values.number(name));
    return {
      name: "knorm",
      params: values.all,
      minBudget: leastBudget(sinks, recent),
      scores: "none",
      promptRows: "none",
      steps: true,
      ranks: "order",
      readsStored: true,
      reduce(layer) {
        const { budget } = layer;
        layer.measure("keyNorm");
        layer.keep({ budget, sinks, recent: slotsOf(recent, budget), by: "scratch" });
      },
    };
  },
};
