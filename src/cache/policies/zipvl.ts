import { type PolicyEntry, RESERVE, SEED } from "./params.ts";

/**
 * A layer keeps as many tokens as it takes to reach a share of its attention, so that layers which look at little keep
 * little. A few rows of the prompt tell: the latest, and some drawn among the others. Nothing leaves after the prompt.
 */
export const zipvl: PolicyEntry = {
  name: "zipvl",
  summary: "Each layer keeps the fewest tokens that get a share of its attention; the budget is a cap",
  source: "arXiv 2410.08584",
  cost: "4 bytes per slot and layer; one pass over the logits of the probes",
  params: {
    tau: { default: 0.97, help: "Share of a layer's attention", least: 0.01, most: 1 },
    recent: { default: 64, help: "Latest rows of the prompt that are probes", least: 1, whole: true },
    random: { default: 64, help: "Probes drawn among the other rows, about", least: 0, whole: true },
    seed: SEED,
    reserve: RESERVE,
  },
  create: (values) => {
    const [tau, recent, random] = ["tau", "recent", "random"].map((name) => values.number(name));
    const probes = { recent, random, seed: values.number("seed") };
    return {
      name: "zipvl",
      params: values.all,
      minBudget: 1,
      scores: "layer",
      promptRows: "all",
      steps: false,
      reserve: values.number("reserve"),
      observe: (layer) => layer.probe(probes),
      reduce(layer) {
        layer.keepProbed(probes, tau);
        layer.forget();
      },
    };
  },
};
