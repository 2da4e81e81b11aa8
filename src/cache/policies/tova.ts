import type { PolicyEntry } from "./params.ts";

/**
 * The tokens that the latest query likes best, by the mean over all heads of a layer, so that its heads all keep the
 * same. No token is protected: a new one may leave at once.
 */
export const tova: PolicyEntry = {
  name: "tova",
  summary: "Keeps the tokens that the latest token attends to most, the same in all heads of a layer",
  source: "arXiv 2401.06104",
  cost: "4 bytes per slot; an exponential per query head and slot for every token after the prompt",
  params: {},
  create: () => ({
    name: "tova",
    params: {},
    minBudget: 2,
    scores: "layer",
    promptRows: 1,
    steps: true,
    observe: (layer) => layer.add({ decay: 0, weight: 1 / layer.nHeads }),
    reduce: (layer) => layer.keep({ budget: layer.budget }),
  }),
};
