/**
 * What policies that can be named have in common.
 *
 * @module
 */
import type { NamedEntry, Param, Values } from "../named.ts";
import type { Policy } from "../policy.ts";

/** A policy that can be named; its cost is beside the slots that it keeps. */
export interface PolicyEntry extends NamedEntry {
  /** `null`: keeps everything. */
  create(values: Values): Policy | null;
}

/** Sinks: the first tokens of a text draw much attention whatever they say (arXiv 2309.17453). */
export const SINKS: Param = {
  default: 0,
  help: "First tokens of the text that always stay",
  least: 0,
  whole: true,
};

/** The recent window. */
export function recentParam(share: number): Param {
  return {
    default: share,
    help: "Latest tokens that always stay: below 1 a share of the budget, else a number",
    least: 0,
  };
}

/** Room after a prompt, of policies that drop nothing then. */
export const RESERVE: Param = {
  default: 256,
  help: "Tokens after a streamed prompt that there is room for",
  least: 1,
  whole: true,
};

/** Seed of a policy that draws. */
export const SEED: Param = {
  default: 12345,
  help: "The same seed draws the same",
  least: 0,
  most: 2 ** 32 - 1,
  whole: true,
};

/** Least budget with so many sinks and a recent window given as share or count. */
export function leastBudget(sinks: number, recent: number): number {
  return sinks + (recent >= 1 ? Math.ceil(recent) : 1) + 1;
}
