/**
 * The codebooks of a storage: laid out once for all sequences, and written once after loading.
 *
 * @module
 */
import type { Arena } from "../../memory/arena.ts";
import type { Bytes, Layout } from "../../memory/handles.ts";
import type { StoragePlan } from "../storage.ts";

/** A plan that has a storage. */
interface Stored {
  readonly storage: StoragePlan;
}

/** Lays them out; `null` where there are none. */
export function layBooks({ storage }: Stored, tables: Layout): Bytes | null {
  return storage.books === undefined ? null : tables.block(storage.books.length);
}

/** Puts them into their place. */
export function writeBooks({ storage }: Stored, place: Bytes | null, arena: Arena): void {
  if (place !== null) arena.bytes.set(storage.books!, place.offset);
}
