import type { PolicyEntry } from "./params.ts";

/** Attention sinks and a recent window, at their places in the cache. */
export const streamingLlm: PolicyEntry = {
  name: "streaming_llm",
  summary: "Keeps the first tokens (attention sinks) and the latest; positions are those in the cache",
  source: "arXiv 2309.17453",
  cost: "nothing",
  params: { sinks: { default: 4, help: "First tokens of the text that always stay", least: 0, whole: true } },
  create: (values) => {
    const sinks = values.number("sinks");
    return {
      name: "streaming_llm",
      params: values.all,
      minBudget: sinks + 2,
      positions: "compact",
      scores: "none",
      promptRows: "none",
      steps: true,
      reduce: (layer) => layer.keep({ budget: layer.budget, sinks, recent: layer.budget - sinks, by: "age" }),
    };
  },
};
