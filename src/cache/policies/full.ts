import type { PolicyEntry } from "./params.ts";

/** Everything stays: plain attention. */
export const full: PolicyEntry = {
  name: "full",
  summary: "Keeps everything",
  source: "arXiv 1706.03762",
  cost: "every token's slot",
  params: {},
  create: () => null,
};
