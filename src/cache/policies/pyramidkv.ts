import { pyramid } from "../wrappers.ts";
import type { PolicyEntry } from "./params.ts";
import { snapkv } from "./snapkv.ts";

/** The choice of SnapKV, with a budget that falls from layer to layer. */
export const pyramidkv: PolicyEntry = {
  name: "pyramidkv",
  summary: "Keeps what the last tokens of the prompt attend to, more of it in low layers",
  source: "arXiv 2406.02069",
  cost: snapkv.cost,
  params: {
    ...snapkv.params,
    beta: {
      default: 20,
      help:
        "The last layer gets 1 / beta of the mean beside the window, the first the rest up to twice the mean",
      least: 1,
      whole: true,
    },
  },
  create: (values) => ({ ...pyramid(snapkv.create(values)!, values.number("beta")), name: "pyramidkv" }),
};
