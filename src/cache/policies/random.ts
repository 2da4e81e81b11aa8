import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, SEED, SINKS } from "./params.ts";

/** A recent window and tokens drawn at random: what any choice by score has to beat. */
export const random: PolicyEntry = {
  name: "random",
  summary: "Keeps the latest tokens and a random choice of the others",
  source: "the floor of comparisons",
  cost: "a draw per slot whenever it reduces",
  params: { recent: recentParam(0.5), sinks: SINKS, seed: SEED },
  create: (values) => {
    const [recent, sinks, seed] = ["recent", "sinks", "seed"].map((name) => values.number(name));
    return {
      name: "random",
      params: values.all,
      minBudget: leastBudget(sinks, recent),
      scores: "none",
      promptRows: "none",
      steps: true,
      ranks: "order",
      reduce(layer) {
        const { budget } = layer;
        layer.randomise(seed);
        layer.keep({ budget, sinks, recent: slotsOf(recent, budget), by: "scratch" });
      },
    };
  },
};
