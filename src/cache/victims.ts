/**
 * What becomes of tokens that leave the cache.
 *
 * @module
 */
import { findEntry, type NamedEntry, readValues } from "./named.ts";
import type { Victims } from "./policy.ts";

/** A choice that can be named. */
export interface VictimsEntry extends NamedEntry {
  readonly name: Victims;
}

/** Every choice that goes with policies by name. */
export const VICTIMS: readonly VictimsEntry[] = [
  { name: "drop", summary: "Tokens that leave are gone", source: "", cost: "nothing", params: {} },
  {
    name: "mass_fold",
    summary: "Values of tokens that leave join the most similar key that stays, which then weighs for both",
    source: "MassFold, github.com/jg-codes/kvfold",
    cost:
      "4 bytes per slot and KV head; a product of keys for every pair of one that leaves and one that stays",
    params: {},
  },
];

/**
 * The choice that a name stands for.
 *
 * @throws {OptionError} When it is unknown or has parameters.
 */
export function readVictims(text: string): Victims {
  const { entry, pairs } = findEntry("victims", VICTIMS, text);
  readValues(entry, pairs);
  return entry.name;
}
