/**
 * How much of a text a cache may keep: a share of the prompt, a number of slots, or bytes.
 *
 * @module
 */
import { BYTE_UNITS } from "../byte_units.ts";
import { OptionError } from "../error.ts";

/** A budget, in one of its three units. */
export type Budget =
  | { readonly unit: "share"; readonly value: number }
  | { readonly unit: "slots"; readonly value: number }
  | { readonly unit: "bytes"; readonly value: number };

/** Budget of a policy when none is given. */
export const DEFAULT_BUDGET: Budget = { unit: "share", value: 0.5 };

/**
 * Reads a budget: up to 1 a share of the prompt, above slots per KV head, with a unit the bytes of a sequence's cache.
 *
 * @throws {OptionError} When it is none of these.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readBudget } from "./budget.ts";
 *
 * assertEquals(readBudget("0.5"), { unit: "share", value: 0.5 });
 * assertEquals(readBudget(512), { unit: "slots", value: 512 });
 * assertEquals(readBudget("24MB"), { unit: "bytes", value: 24e6 });
 * ```
 */
export function readBudget(budget: number | string): Budget {
  const parts = /^\s*(\d*\.?\d+)\s*([kmg]?i?b)?\s*$/i.exec(String(budget));
  const value = parts === null ? NaN : Number(parts[1]);
  const unit = parts?.[2] === undefined ? undefined : BYTE_UNITS[parts[2].toLowerCase()];
  if (unit !== undefined && value > 0) return { unit: "bytes", value: Math.floor(value * unit) };
  if (unit === undefined && value > 0 && value <= 1) return { unit: "share", value };
  if (unit === undefined && Number.isInteger(value) && value > 1) return { unit: "slots", value };
  throw new OptionError(
    "budget",
    budget,
    "a share of the prompt such as 0.5, slots such as 512, or bytes such as 24MB",
  );
}

/** Slots of a share of so many tokens, rounded down. */
export function shareOf(share: number, nTokens: number): number {
  return Math.floor(nTokens * share + 1e-9);
}
