import { MIN_TAU } from "../../kernels/policy_kernels.ts";
import { slotsOf } from "../policy.ts";
import { leastBudget, type PolicyEntry, recentParam, SEED, SINKS } from "./params.ts";

/**
 * Key tokens: as H2O, but a row adds softmax((logit + ζ) / τ), with Gumbel noise ζ drawn for every query and key, and a
 * temperature that rises from `tauInit` in the prompt to `tauEnd` after `steps` tokens. Noise and temperature change
 * scores, never attention. Under grouped queries a KV head's score is the sum over its query heads, each with noise of
 * its own.
 */
export const keyformer: PolicyEntry = {
  name: "keyformer",
  summary:
    "Keeps the latest tokens and key tokens: most attention under Gumbel noise and a rising temperature",
  source: "arXiv 2403.09054",
  cost:
    "4 bytes per slot and KV head (`score=shared`: per KV head of one layer); a noisy exponential per query head " +
    "and slot for every token read, of which `every=8` saves seven in eight after the prompt",
  params: {
    recent: recentParam(0.3),
    noise: {
      default: "gumbel",
      help: "Added to logits before they score",
      oneOf: ["none", "gaussian", "gumbel"],
    },
    tauInit: { default: 1, help: "Temperature in the prompt", least: MIN_TAU },
    tauEnd: { default: 2, help: "Temperature after `steps` tokens", least: MIN_TAU },
    steps: { default: 128, help: "Tokens over which the temperature rises", least: 1, whole: true },
    score: {
      default: "layer",
      help: "A score of each layer, or one shared by all",
      oneOf: ["layer", "shared"],
    },
    edge: {
      default: "kept",
      help:
        "The token that leaves the window: kept as a candidate, as published, or lost, as the authors' masking does",
      oneOf: ["kept", "lost"],
    },
    queries: { default: "all", help: "Rows of the prompt that score", oneOf: ["all", "last"] },
    sinks: SINKS,
    seed: SEED,
  },
  create: (values) => {
    const [recent, sinks, seed] = ["recent", "sinks", "seed"].map((name) => values.number(name));
    const [tauInit, tauEnd, steps] = ["tauInit", "tauEnd", "steps"].map((name) => values.number(name));
    const lost = values.text("edge") === "lost";
    const noise = values.text<"none" | "gaussian" | "gumbel">("noise");
    const tau = (step: number) => tauInit + Math.min(1, step / steps) * (tauEnd - tauInit);
    return {
      name: "keyformer",
      params: values.all,
      minBudget: leastBudget(sinks, recent),
      scores: "kvHead",
      shared: values.text("score") === "shared",
      promptRows: values.text("queries") === "all" ? "all" : 1,
      steps: true,
      ranks: "attention",
      observe: (layer) => layer.add({ noise, seed, tau: tau(layer.step) }),
      reduce(layer) {
        const { budget } = layer;
        const window = slotsOf(recent, budget);
        layer.keep({ budget, sinks, recent: window });
        // Its budget counts the token that comes next. What is lost was never a candidate, so that keys stay what they are.
        if (lost && layer.position > budget) layer.evictAt(budget - window, budget - 1);
      },
    };
  },
};
