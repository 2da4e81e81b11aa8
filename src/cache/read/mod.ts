/**
 * All readers that can be named.
 *
 * @module
 */
import { findEntry, readValues } from "../named.ts";
import type { ReadEntry, ReadPlan, StorageSetting } from "../storage.ts";
import { anchor } from "./anchor.ts";
import { dense } from "./dense.ts";
import { quest } from "./quest.ts";
import { squeezed } from "./squeezed.ts";
import { subgen } from "./subgen.ts";

/** Every reader by name. */
export const READERS: readonly ReadEntry[] = [dense, quest, squeezed, subgen, anchor];

/**
 * The reader that `NAME[:key=value,…]` stands for; `null` for `dense`.
 *
 * @throws {OptionError} When the name or a parameter is unknown, or it does not go together with the setting.
 */
export function readReader(text: string, setting: StorageSetting): ReadPlan | null {
  const { entry, pairs } = findEntry("read", READERS, text);
  return entry.plan(readValues(entry, pairs), setting);
}
