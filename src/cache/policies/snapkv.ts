import { type PolicyEntry, RESERVE } from "./params.ts";

/**
 * The end of a prompt tells what the answer will need: attention of its last `window` rows, pooled over neighbours so
 * that whole phrases stay, averaged over the query heads of a KV head. Nothing leaves after the prompt.
 */
export const snapkv: PolicyEntry = {
  name: "snapkv",
  summary:
    "Keeps what the last tokens of the prompt attend to, with its neighbours; drops nothing afterwards",
  source: "arXiv 2404.14469",
  cost: "4 bytes per slot and query head; work only at the end of the prompt, or of each chunk",
  params: {
    window: {
      default: 32,
      help: "Last tokens of the prompt, which choose and always stay",
      least: 1,
      whole: true,
    },
    pool: { default: 5, help: "Slots pooled together, an odd number", least: 1, most: 63, whole: true },
    pooling: { default: "avg", help: "Mean or largest of them", oneOf: ["avg", "max"] },
    reserve: RESERVE,
  },
  create: (values) => {
    const [window, width, reserve] = ["window", "pool", "reserve"].map((name) => values.number(name));
    const max = values.text("pooling") === "max";
    return {
      name: "snapkv",
      params: values.all,
      minBudget: window + 1,
      scores: "head",
      promptRows: window,
      steps: false,
      reserve,
      ranks: "attention",
      observe: (layer) => layer.add(),
      reduce(layer) {
        layer.pool({ width, max, recent: window });
        layer.keep({ budget: layer.budget, recent: window, by: "scratch" });
        layer.forget();
      },
    };
  },
};
