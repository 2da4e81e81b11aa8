/**
 * All storages that can be named.
 *
 * @module
 */
import { findEntry, readValues } from "../named.ts";
import type { StorageEntry, StoragePlan, StorageSetting } from "../storage.ts";
import { cq } from "./cq.ts";
import { kivi } from "./kivi.ts";
import { mixed } from "./mixed.ts";
import { plain } from "./plain.ts";
import { think } from "./think.ts";

/** Every storage by name. */
export const STORAGES: readonly StorageEntry[] = [plain, kivi, think, cq, mixed];

/**
 * The storage that `NAME[:key=value,…]` stands for, or that a function plans.
 *
 * @throws {OptionError} When the name or a parameter is unknown, or it does not go together with the setting.
 */
export function readStorage(
  text: string | ((setting: StorageSetting) => StoragePlan),
  setting: StorageSetting,
): StoragePlan {
  if (typeof text === "function") return text(setting);
  const { entry, pairs } = findEntry("storage", STORAGES, text);
  return entry.plan(readValues(entry, pairs), setting);
}
