import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, SINKS } from "./params.ts";

/**
 * Keys that point where most keys point say little: those stay that differ most from the mean direction of all keys of
 * their head. No query is looked at, so that a chunk of a prompt is as good as all of it.
 */
export const keydiff: PolicyEntry = {
  name: "keydiff",
  summary: "Keeps the keys that differ most from the mean direction of the keys",
  source: "arXiv 2504.15364",
  cost: "no bytes; two passes over the keys whenever it reduces, of which `every=8` saves seven in eight",
  params: { recent: recentParam(0), sinks: SINKS },
  create: (values) => {
    const [recent, sinks] = ["recent", "sinks"].map((name) => values.number(name));
    return {
      name: "keydiff",
      params: values.all,
      minBudget: leastBudget(sinks, recent),
      scores: "none",
      promptRows: "none",
      steps: true,
      ranks: "order",
      readsStored: true,
      reduce(layer) {
        const { budget } = layer;
        layer.measure("keyDiff");
        layer.keep({ budget, sinks, recent: slotsOf(recent, budget), by: "scratch" });
      },
    };
  },
};
