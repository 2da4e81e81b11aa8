/**
 * The inverse of a plan: what context a budget has room for.
 *
 * @module
 */
import { MemoryBudgetError, OptionError } from "../error.ts";
import type { GgufModel } from "../gguf/mod.ts";
import { planModel, type PlanOptions } from "../model/plan.ts";

/** The longest context whose plan fits into `maxBytes`, by bisection; 0 if none does. */
export function largestContext(
  model: GgufModel,
  options: Omit<PlanOptions, "context" | "maxBytes">,
  maxBytes: number,
): number {
  const fits = (context: number): boolean => {
    try {
      return planModel(model, { ...options, context }).totalBytes <= maxBytes;
    } catch (error) {
      // beyond 32-bit addresses, or less context than a policy's budget asks for
      if (error instanceof MemoryBudgetError) return false;
      if (error instanceof OptionError) return true;
      throw error;
    }
  };
  let least = 0;
  let most = planModel(model, { context: 1 }).hparams.nContext;
  // the usual answers, before the search
  if (fits(most)) return most;
  if (!fits(1)) return 0;
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (fits(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}
