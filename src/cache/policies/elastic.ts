import { OptionError } from "../../error.ts";
import type { PolicyEntry } from "./params.ts";

/**
 * Once the prompt is read, tokens that drew little attention go into the mean with the nearest that drew much, keys and
 * values. Afterwards the cache grows with the text as the budget's share says; what is too much is deleted `distance`
 * places before the prompt's end, so that the instruction's head and the newest tokens stay.
 */
export const elastic: PolicyEntry = {
  name: "elastic",
  summary: "Merges the prompt into its important tokens; then deletes at a fixed place, as the text grows",
  source: "arXiv 2407.18121",
  cost: "4 bytes per slot; an exponential per query head and slot for every token of the prompt",
  params: {
    start: { default: 1, help: "First tokens, which stay as they are", least: 0, whole: true },
    distance: {
      default: 25,
      help: "Places from the reduced prompt's end to where tokens are deleted",
      least: 0,
      whole: true,
    },
  },
  create: (values) => {
    const [start, distance] = ["start", "distance"].map((name) => values.number(name));
    if (values.number("every") > 1) throw new OptionError("every", values.number("every"), "1 for elastic");
    return {
      name: "elastic",
      params: values.all,
      minBudget: start + 2,
      scores: "layer",
      promptRows: "all",
      // The place where tokens are deleted afterwards is fixed.
      stepRows: false,
      steps: true,
      victims: "merge_nearest",
      readsStored: true,
      grows: true,
      observe: (layer) => layer.add({ weight: 1 / layer.nHeads }),
      reduce(layer) {
        const { budget, promptBudget } = layer;
        if (layer.step === 0) layer.keep({ budget, sinks: start, recent: 1 });
        else layer.evictAt(Math.max(1, promptBudget - distance));
      },
    };
  },
};
