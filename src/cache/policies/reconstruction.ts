import { type PolicyEntry, RESERVE } from "./params.ts";

/**
 * What a text needs to be written again is what later questions about it need too: a token's score is the largest weight
 * that it gets while its chunk is repeated right behind itself, with the chunk and the sinks in view. The repetition takes
 * the queries of the pass itself, turned on by the chunk's length, so that nothing is computed twice but logits. Nothing
 * leaves after the prompt.
 */
export const reconstruction: PolicyEntry = {
  name: "reconstruction",
  summary: "Keeps what a repetition of each chunk of the prompt would look at; drops nothing afterwards",
  source: "after KVzip, arXiv 2505.23416",
  cost:
    "4 bytes per slot and KV head; five halves of a product of query and key per query head and pair of tokens in a chunk",
  params: {
    sinks: {
      default: 4,
      help: "First tokens, which always stay and are always in view",
      least: 0,
      most: 8,
      whole: true,
    },
    reserve: RESERVE,
  },
  create: (values) => {
    const [sinks, reserve] = ["sinks", "reserve"].map((name) => values.number(name));
    return {
      name: "reconstruction",
      params: values.all,
      minBudget: sinks + 1,
      scores: "kvHead",
      promptRows: "none",
      steps: false,
      reserve,
      ranks: "attention",
      readsStored: true,
      echo: sinks,
      reduce: (layer) => layer.keep({ budget: layer.budget, sinks }),
    };
  },
};
