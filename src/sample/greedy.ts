import { KernelError } from "../error.ts";
import type { LogitsRow } from "./logits.ts";

/**
 * The most likely token, ties to the lower id.
 *
 * @throws {KernelError} When no logit is a finite number, as damaged weights bring about.
 */
export function greedy(row: LogitsRow): number {
  const id = row.argmax();
  if (!Number.isFinite(row.view()[id])) {
    throw new KernelError("no token has a finite logit; the weights are damaged or overflow", "argmax");
  }
  return id;
}
