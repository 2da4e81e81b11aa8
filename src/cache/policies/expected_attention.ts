import { type PolicyEntry, RESERVE } from "./params.ts";

/**
 * What later queries will look at, without having seen one: queries of the prompt are taken for draws of a normal
 * distribution per head, turned by the mean rotation of the next `future` positions, and a token's score is the weight
 * that such queries give it on average, times the length of its value. Nothing leaves after the prompt.
 */
export const expectedAttention: PolicyEntry = {
  name: "expected_attention",
  summary:
    "Keeps what later queries will attend to if they are like those of the prompt; drops nothing afterwards",
  source: "arXiv 2510.00636",
  cost:
    "4 (d²/2 + d) bytes per query head whatever the length; d²/2 products per token of a prompt, and per slot " +
    "whenever it reduces",
  params: {
    future: {
      default: 512,
      help: "Positions to come that are looked at",
      least: 1,
      most: 65536,
      whole: true,
    },
    epsilon: { default: 0.02, help: "Weight that every value counts with beside the expected one", least: 0 },
    sinks: {
      default: 4,
      help: "First tokens, which always stay and of whose queries nothing is learned",
      least: 0,
      whole: true,
    },
    reserve: RESERVE,
  },
  create: (values) => {
    const [future, epsilon, sinks, reserve] = ["future", "epsilon", "sinks", "reserve"]
      .map((name) => values.number(name));
    return {
      name: "expected_attention",
      params: values.all,
      minBudget: sinks + 1,
      scores: "none",
      promptRows: "none",
      steps: false,
      reserve,
      ranks: "attention",
      readsStored: true,
      queries: sinks,
      reduce(layer) {
        layer.expect({ future, epsilon, sinks });
        layer.keep({ budget: layer.budget, sinks, by: "scratch" });
      },
    };
  },
};
