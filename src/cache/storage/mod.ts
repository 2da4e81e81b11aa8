/**
 * All storages that can be named.
 *
 * @module
 */
import { findEntry, readValues } from "../policies/params.ts";
import type { StorageEntry, StoragePlan, StorageSetting } from "../storage.ts";
import { plain } from "./plain.ts";

/** Every storage by name. */
export const STORAGES: readonly StorageEntry[] = [plain];

/**
 * The storage that `NAME[:key=value,…]` stands for.
 *
 * @throws {OptionError} When the name or a parameter is unknown, or it does not go together with the setting.
 */
export function readStorage(text: string, setting: StorageSetting): StoragePlan {
  const { entry, pairs } = findEntry("storage", STORAGES, text);
  return entry.plan(readValues(entry, entry.params, pairs), setting);
}
