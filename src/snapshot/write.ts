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

/** The bytes of a snapshot in chunks of `maxBytes`, the last one shorter; each chunk is a copy of its own. */
export function* inChunks({ bytes, pieces }: Outgoing, maxBytes: number): Generator<Uint8Array<ArrayBuffer>> {
  let left = bytes;
  let chunk = new Uint8Array(Math.min(maxBytes, left));
  let filled = 0;
  for (let piece of pieces()) {
    while (piece.length > 0) {
      const n = Math.min(piece.length, chunk.length - filled);
      chunk.set(piece.subarray(0, n), filled);
      filled += n;
      piece = piece.subarray(n);
      if (filled < chunk.length) continue;
      left -= filled;
      yield chunk;
      chunk = new Uint8Array(Math.min(maxBytes, left));
      filled = 0;
    }
  }
}
