import type { PolicyEntry } from "./params.ts";

/** The latest tokens stay, nothing else. */
export const window: PolicyEntry = {
  name: "window",
  summary: "Keeps the latest tokens",
  source: "arXiv 2004.05150",
  cost: "nothing",
  params: {},
  create: () => ({
    name: "window",
    params: {},
    minBudget: 2,
    scores: "none",
    promptRows: "none",
    steps: true,
    reduce: (layer) => layer.keep({ budget: layer.budget, recent: layer.budget, by: "age" }),
  }),
};
