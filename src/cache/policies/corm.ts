import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, SINKS } from "./params.ts";

/**
 * Recent queries tell what later ones will need: a token that none of the last `window` queries gave at least the mean
 * weight leaves, and nothing else does, so that a text takes what it needs. A score is the position of the last query
 * that found the token important; any query head of a KV head suffices. The budget is a hard cap above that: beyond it
 * the tokens leave that have been unimportant for longest.
 */
export const corm: PolicyEntry = {
  name: "corm",
  summary: "Drops tokens that none of the latest queries gave the mean weight; the budget is a cap",
  source: "arXiv 2404.15949",
  cost: "4 bytes per slot and KV head; an exponential per query head and slot for every token read",
  params: {
    window: { default: 256, help: "Latest queries that count", least: 1, whole: true },
    recent: recentParam(256),
    count: {
      default: "kept",
      help: "The mean is one over the keys that a query reads, or over all before it",
      oneOf: ["kept", "all"],
    },
    sinks: SINKS,
  },
  create: (values) => {
    const [window, share, sinks] = ["window", "recent", "sinks"].map((name) => values.number(name));
    const reduce = values.text("count") === "kept" ? "latest" : "latestOfAll";
    return {
      name: "corm",
      params: values.all,
      minBudget: leastBudget(sinks, share),
      scores: "kvHead",
      promptRows: "all",
      steps: true,
      ranks: "order",
      observe: (layer) => layer.add({ reduce }),
      reduce(layer) {
        const recent = slotsOf(share, layer.budget);
        // A token's own step counts as important to it.
        layer.cut({ below: layer.position - window, sinks, recent: Math.max(window, recent) });
        layer.keep({ budget: layer.budget, sinks, recent });
      },
    };
  },
};
