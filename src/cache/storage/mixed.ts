import { OptionError } from "../../error.ts";
import { SLOT_GROUP } from "../../kernels/sizes.ts";
import { roundUp } from "../../memory/handles.ts";
import type { Budget } from "../budget.ts";
import type { StorageEntry } from "../storage.ts";
import { CODEC_KIND, EXACT, planCodec } from "./codec.ts";

/**
 * Tokens of two widths. New ones wait exact, until as many as a policy ranks at once are there; those that matter are then
 * coded in all bits and the others in half of them, keys per channel over the tokens of their kind, values per token after
 * each channel has been brought to its scale. What the budget says is how many may matter, and there is room for so many.
 */
export const mixed: StorageEntry = {
  name: "mixed",
  summary: "Tokens that matter in 4 bits and the others in 2, under a policy that demotes tokens",
  source: "arXiv 2410.08584v1 §4.3",
  cost:
    "d · bits / 16 bytes a key or value and as much again for tokens that matter; a float pair per value; " +
    "the latest exact",
  params: {
    bits: {
      default: "4",
      help: "Bits of the numbers of a token that matters; others have half",
      oneOf: ["4", "8"],
    },
    exact: EXACT,
  },
  plan(values, { hparams, policy, prefill, chunk, context, budget }) {
    if (policy?.victims !== "demote") {
      throw new OptionError(
        "storage",
        "mixed",
        "a policy beside it that demotes tokens: zipvl:others=demote",
      );
    }
    const { headDim, valueDim } = hparams;
    const [low, least] = [Number(values.text("bits")) / 2, policy.every ?? 1];
    const capacity = roundUp(context, SLOT_GROUP);
    const whole = prefill === "whole";
    const rich = roomFor(budget, capacity);
    const sets = Math.ceil(context / least) + 1;
    const halves = values.text("exact") === "f16";
    const floats = (n: number) => halves ? n / 2 : n;
    const row = (dim: number) => Math.ceil(dim * low / 32);
    const ofSets = 2 * sets * floats(2 * headDim + valueDim);
    return planCodec("mixed", { ...values.all, rich }, hparams, {
      kind: CODEC_KIND.mixed,
      // What waits when a prompt begins: what the last one left, and what came after it.
      recent: 2 * (least - 1),
      // A whole prompt waits until its end.
      chunk: whole ? context : chunk,
      afterPrompt: whole,
      halves,
      params: [low, rich, sets, least],
      keyWords: SLOT_GROUP * row(headDim),
      valueWords: SLOT_GROUP * (floats(2) + row(valueDim)),
      stateWords: ofSets + rich * (row(headDim) + row(valueDim)),
      layerWords: sets + 2 * capacity / SLOT_GROUP,
    });
  },
};

/** Slots of `capacity` that a budget leaves room for; one of bytes none, until it is known what they are worth. */
function roomFor({ unit, value }: Budget, capacity: number): number {
  if (unit === "share") return Math.ceil(value * capacity - 1e-9);
  return unit === "slots" ? Math.min(value, capacity) : 0;
}
