/**
 * Policies made of other policies.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Policy } from "./policy.ts";

/**
 * Observes and reduces in every n-th token after the prompt only. The cache holds up to n - 1 slots more between.
 *
 * @throws {OptionError} When n is no whole number of at least 1.
 */
export function everyNSteps(policy: Policy, n: number): Policy {
  if (!(Number.isInteger(n) && n >= 1)) throw new OptionError("every", n, "a whole number of at least 1");
  return { ...policy, every: n };
}

/** Gives each layer a budget of its own, made from the mean one and the tokens of text and prompt; whole slots. */
export function perLayer(policy: Policy, layerBudget: NonNullable<Policy["layerBudget"]>): Policy {
  if (policy.shared) {
    throw new OptionError("budget per layer", policy.name, "a policy whose layers score apart");
  }
  return { ...policy, layerBudget };
}

/**
 * More budget for low layers, falling linearly; the last layer gets 1/beta of what is beyond the protected slots. Where
 * the first could keep more than the prompt has, the last gets what is over; a prompt below twice the free budget is
 * treated alike in all. Source: PyramidKV, arXiv 2406.02069 §4.2.
 */
export function pyramid(policy: Policy, beta: number): Policy {
  return perLayer(policy, (budget, layer, nLayers, nTokens) => {
    const stays = policy.minBudget - 1;
    const free = Math.max(0, budget - stays);
    if (nLayers === 1 || nTokens < 2 * free) return budget;
    let low = Math.floor(free / beta);
    if (2 * free - low >= nTokens - stays) low = 2 * free - (nTokens - stays);
    const step = Math.floor((2 * free - 2 * low) / (nLayers - 1));
    return stays + 2 * free - low - layer * step;
  });
}
