import { slotsOf } from "../policy.ts";
import { type PolicyEntry, recentParam, SINKS } from "./params.ts";
import { SEPARATORS } from "./separators.ts";

/**
 * Separators stand for the segments before them: the first tokens stay, the latest, and of those between the latest
 * separators. Tokens gather until the budget is full, then all else goes at once.
 */
export const sepllm: PolicyEntry = {
  name: "sepllm",
  summary: "Keeps the first tokens, the latest, and separators between them",
  source: "arXiv 2412.12094",
  cost: "4 bytes per slot and a byte per token of the vocabulary; work only when the budget is full",
  params: {
    sinks: { ...SINKS, default: 4 },
    recent: recentParam(0.5),
    separators: {
      default: 0.25,
      help: "Latest separators that stay: below 1 a share of the budget, else a number",
      least: 0,
    },
    at: { default: "text", help: "What separates", oneOf: Object.keys(SEPARATORS) },
  },
  create: (values) => {
    const [sinks, recent, marked] = ["sinks", "recent", "separators"].map((name) => values.number(name));
    const least = (shareOrCount: number) => shareOrCount >= 1 ? shareOrCount : 1;
    return {
      name: "sepllm",
      params: values.all,
      minBudget: sinks + least(recent) + least(marked),
      scores: "layer",
      promptRows: "none",
      steps: true,
      classes: SEPARATORS[values.text<keyof typeof SEPARATORS>("at")],
      reduce: (layer) =>
        layer.keepMarked({
          over: layer.budget,
          sinks,
          recent: slotsOf(recent, layer.budget),
          marked: slotsOf(marked, layer.budget),
        }),
    };
  },
};
