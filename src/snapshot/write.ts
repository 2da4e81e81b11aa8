import { sha256 } from "@noble/hashes/sha2";
import type { KeeperState } from "../cache/cache_keeper.ts";
import type { Binding } from "./binding.ts";
import { DIGEST_BYTES, encodeHead } from "./format.ts";
import { usedSlots } from "./positions_section.ts";
import { bytesOf, type Section, type SequenceState } from "./section.ts";

/** A snapshot that is about to be written. */
export interface Outgoing {
  /** All of its bytes. */
  readonly bytes: number;
  /** Pieces of it in order: views of memory, the digest last. */
  pieces(): Generator<Uint8Array>;
}

/** Gathers what a snapshot is made of. Memory must not change before its pieces have been taken. */
export function openSnapshot(
  state: SequenceState,
  binding: Binding,
  keeper: KeeperState | null,
  storage: unknown,
  sections: readonly Section[],
): Outgoing {
  const used = usedSlots(state);
  const parts = sections.map((section) => [...section.save(state, used)]);
  const sizes = parts.map(bytesOf);
  const head = encodeHead({
    binding,
    position: state.position,
    used,
    keeper,
    storage,
    sections: sections.map(({ name }, i) => [name, sizes[i]] as const),
  });
  return {
    bytes: head.length + sizes.reduce((sum, n) => sum + n, 0) + DIGEST_BYTES,
    *pieces() {
      const hash = sha256.create();
      for (const piece of [[head], ...parts].flat()) {
        hash.update(piece);
        yield piece;
      }
      yield hash.digest();
    },
  };
}

/**
 * The bytes of a snapshot in chunks of `maxBytes`, the last one shorter. All of them are views of one buffer, each valid
 * until the next is asked for: an isolate that is nearly full has no room for garbage of the snapshot's size.
 */
export function* inChunks({ bytes, pieces }: Outgoing, maxBytes: number): Generator<Uint8Array<ArrayBuffer>> {
  const buffer = new Uint8Array(Math.min(maxBytes, bytes));
  let filled = 0;
  for (let piece of pieces()) {
    while (piece.length > 0) {
      const n = Math.min(piece.length, buffer.length - filled);
      buffer.set(piece.subarray(0, n), filled);
      filled += n;
      piece = piece.subarray(n);
      if (filled < buffer.length) continue;
      yield buffer;
      filled = 0;
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}
