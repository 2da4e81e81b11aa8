/**
 * All readers that can be named.
 *
 * @module
 */
import { findEntry, readValues } from "../policies/params.ts";
import type { ReadEntry, ReadPlan, StorageSetting } from "../storage.ts";
import { dense } from "./dense.ts";

/** Every reader by name. */
export const READERS: readonly ReadEntry[] = [dense];

/**
 * The reader that `NAME[:key=value,…]` stands for; `null` for `dense`.
 *
 * @throws {OptionError} When the name or a parameter is unknown, or it does not go together with the setting.
 */
export function readReader(text: string, setting: StorageSetting): ReadPlan | null {
  const { entry, pairs } = findEntry("read", READERS, text);
  return entry.plan(readValues(entry, entry.params, pairs), setting);
}
