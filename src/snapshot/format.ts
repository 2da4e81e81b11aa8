/**
 * A snapshot's outer form. Numbers are little-endian.
 *
 * ```text
 * "LocketKV"  u32 version  u32 bytes of the head
 * head        JSON, UTF-8: what it is bound to, position, used slots, state of the policy, names and sizes of sections
 * sections    one behind the other, in the order of the head
 * SHA-256     of all before it
 * ```
 *
 * @module
 */
import type { KeeperState } from "../cache/cache_keeper.ts";
import { SnapshotError } from "../error.ts";
import type { Binding } from "./binding.ts";
import type { UsedSlots } from "./section.ts";

const MAGIC = "LocketKV";
const VERSION = 1;

/** Bytes before the head, and of the digest at the end. */
export const PREFIX_BYTES = 16;
export const DIGEST_BYTES = 32;

/** A head takes less: what it lists grows with layers and KV heads only. */
const MAX_HEAD_BYTES = 2 ** 20;

/** What stands before the sections. */
export interface Head {
  readonly binding: Binding;
  /** Tokens read. */
  readonly position: number;
  readonly used: UsedSlots;
  /** None: everything stays. */
  readonly keeper: KeeperState | null;
  /** What a storage knows beside its memory. */
  readonly storage: unknown;
  readonly sections: readonly (readonly [name: string, bytes: number])[];
}

/** Prefix and head as bytes. */
export function encodeHead(head: Head): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(PREFIX_BYTES + json.length);
  new TextEncoder().encodeInto(MAGIC, bytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, json.length, true);
  bytes.set(json, PREFIX_BYTES);
  return bytes;
}

/**
 * Bytes of the head, by the prefix.
 *
 * @throws {SnapshotError} When it is none of a snapshot, or of another version.
 */
export function readPrefix(prefix: Uint8Array<ArrayBuffer>): number {
  const magic = new TextDecoder().decode(prefix.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw new SnapshotError("its beginning", JSON.stringify(magic), JSON.stringify(MAGIC));
  const view = new DataView(prefix.buffer);
  const version = view.getUint32(8, true);
  if (version !== VERSION) throw new SnapshotError("its version", version, VERSION);
  const bytes = view.getUint32(12, true);
  if (bytes > MAX_HEAD_BYTES) {
    throw new SnapshotError("size of its head", bytes, `at most ${MAX_HEAD_BYTES} bytes`);
  }
  return bytes;
}

/** The head's JSON as whatever it holds. @throws {SnapshotError} */
export function readHead(bytes: Uint8Array): Partial<Record<keyof Head, unknown>> {
  try {
    const head = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (head !== null && typeof head === "object") return head;
  } catch {
    // no UTF-8, or no JSON
  }
  throw new SnapshotError("its head", "damaged", "a JSON object");
}
