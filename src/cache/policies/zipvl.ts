import { type PolicyEntry, RESERVE, SEED } from "./params.ts";

/**
 * A layer keeps as many tokens as it takes to reach a share of its attention, so that layers which look at little keep
 * little. A few rows of the prompt tell: the latest, and some drawn among the others. What becomes of the other tokens:
 * they leave, and after the prompt nothing does; or they stay in fewer bits, and so do those of every next block of the
 * running text that its latest token looks at least.
 */
export const zipvl: PolicyEntry = {
  name: "zipvl",
  summary: "Each layer keeps the fewest tokens that get a share of its attention; the budget is a cap",
  source: "arXiv 2410.08584",
  cost: "4 bytes per slot and layer; one pass over the logits of the probes",
  params: {
    others: {
      default: "drop",
      help: "What becomes of the other tokens: they are dropped, or stay in fewer bits",
      oneOf: ["drop", "demote"],
    },
    tau: { default: 0.97, help: "Share of a layer's attention", least: 0.01, most: 1 },
    recent: { default: 64, help: "Latest rows of the prompt that are probes", least: 1, whole: true },
    random: { default: 64, help: "Probes drawn among the other rows, about", least: 0, whole: true },
    block: {
      default: 100,
      help: "Tokens that are ranked and coded at once at least, where others are demoted",
      least: 1,
      most: 4096,
      whole: true,
    },
    rows: {
      default: "kept",
      help: "Tokens of a sparse prompt whose attention is computed, over those that are kept",
      oneOf: ["kept", "all"],
    },
    seed: SEED,
    reserve: RESERVE,
  },
  create: (values) => {
    const [tau, recent, random] = ["tau", "recent", "random"].map((name) => values.number(name));
    const probes = { recent, random, seed: values.number("seed") };
    const demotes = values.text("others") === "demote";
    return {
      name: "zipvl",
      params: values.all,
      minBudget: 1,
      scores: "layer",
      promptRows: "all",
      steps: demotes,
      reserve: values.number("reserve"),
      ...(demotes && { victims: "demote", storage: "mixed", every: values.number("block"), grows: true }),
      sparse: { rows: probes, tau, demotes, allRows: values.text("rows") === "all" },
      observe: (layer) => layer.probe(probes),
      reduce(layer) {
        layer.keepProbed(probes, tau);
        layer.forget();
      },
    };
  },
};
