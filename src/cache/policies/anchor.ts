import type { AnchorRule, Policy, PolicyValue } from "../policy.ts";
import type { PolicyEntry } from "./params.ts";
import { SEPARATORS } from "./separators.ts";

/**
 * Anchors: a token whose text holds a separator ends a segment; a token sees its own segment and the anchors before it.
 * So once a segment has passed a layer, of its slots only the anchor's stays. A model has to be trained for this: its
 * file says so (`declaredAnchors`), and then this is its policy. With any other model it is what it costs them.
 */
export const anchor: PolicyEntry = {
  name: "anchor",
  summary:
    "Keeps the running segment, and of those before it their last tokens, for models that are trained so",
  source: "arXiv 2411.06680, 2402.07616",
  cost: "a byte per token of the vocabulary",
  params: {
    at: { default: "text", help: "What ends a segment", oneOf: Object.keys(SEPARATORS) },
    sees: {
      default: "anchors",
      help: "Whether anchors see the anchors before them, or their own segment only",
      oneOf: ["anchors", "segment"],
    },
  },
  create: (values) =>
    anchorPolicy(
      SEPARATORS[values.text<keyof typeof SEPARATORS>("at")],
      { sees: values.text<AnchorRule["sees"]>("sees") },
      values.all,
    ),
};

/** The policy for given separators and rule. */
export function anchorPolicy(
  separators: readonly string[],
  anchors: AnchorRule,
  params: Readonly<Record<string, PolicyValue>> = { sees: anchors.sees },
): Policy {
  return {
    name: "anchor",
    params,
    minBudget: 2,
    scores: "none",
    promptRows: "none",
    steps: true,
    classes: separators,
    anchors,
    read: "anchor",
    needsRead: true,
    // The reader empties what is no anchor; a full cache loses its oldest ones.
    reduce: (layer) => layer.keep({ budget: layer.budget, recent: layer.budget, by: "age" }),
  };
}
