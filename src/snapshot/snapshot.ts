/**
 * A sequence's state as bytes, and back.
 *
 * @module
 */
import { type Incoming, type Restored, SnapshotReader } from "./read.ts";

/** A snapshot, piece by piece. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Restores a snapshot. All of it is checked before anything changes.
 *
 * @param begin Called when it is found sound, before memory is written.
 * @throws {SnapshotError} When it is damaged or does not belong here; nothing has changed then.
 */
export function restoreBytes(to: Incoming, bytes: Uint8Array, begin: (checked: Restored) => void): Restored {
  const pass = (mode: { write: boolean; verify: boolean }) => {
    const reader = new SnapshotReader(to, mode);
    reader.push(bytes);
    return reader.finish();
  };
  begin(pass({ write: false, verify: true }));
  return pass({ write: true, verify: false });
}

/**
 * Restores a snapshot from chunks as they come, with no copy of it beside memory.
 *
 * @throws {SnapshotError} When it is damaged or does not belong here; memory is then in disorder.
 */
export async function restoreChunks(to: Incoming, chunks: Chunks): Promise<Restored> {
  const reader = new SnapshotReader(to, { write: true, verify: true });
  for await (const chunk of chunks) reader.push(chunk);
  return reader.finish();
}
