import { SUBGEN_PARAMS } from "../read/subgen.ts";
import { type PolicyEntry, SEED } from "./params.ts";

const PARAMS = { ...SUBGEN_PARAMS, seed: SEED };

/**
 * The latest tokens stay as they are, the others go into a sketch of fixed size: clusters of their keys and samples of
 * their values. All the work is the reader's.
 */
export const subgen: PolicyEntry = {
  name: "subgen",
  summary: "Keeps the latest tokens, and of all others a sketch: clusters of keys, samples of values",
  source: "arXiv 2402.06082",
  cost:
    "the sketch: `clusters` · (2 d floats, folded; else (1 + keys) d) and `values` · 2 d; as many products a token",
  params: PARAMS,
  create: (values) => ({
    name: "subgen",
    params: values.all,
    minBudget: 2,
    scores: "none",
    promptRows: "none",
    steps: true,
    readsStored: true,
    read: `subgen:${Object.keys(PARAMS).map((name) => `${name}=${values.all[name]}`).join(",")}`,
    needsRead: true,
    // The reader moves what leaves into its sketch.
    reduce: () => {},
  }),
};
