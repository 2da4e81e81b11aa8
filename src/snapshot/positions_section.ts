import { SnapshotError } from "../error.ts";
import { EMPTY, headSlots } from "../kernels/head_slots.ts";
import { mostHeld } from "./keeper_state.ts";
import type { Section, SequenceState, UsedSlots } from "./section.ts";
import { stagedSection } from "./staged_section.ts";

/** Slots from the first up to the last one that holds a token, by layer and KV head. */
export function usedSlots(state: SequenceState): number[][] {
  return state.cache.map((layer) =>
    Array.from({ length: layer.nKvHeads }, (_, head) => headSlots(state.memory.buffer, layer, head).header[0])
  );
}

/** Each head's slots, with its positions among those that were saved. */
function* heads(saved: Uint32Array, used: UsedSlots) {
  let at = 0;
  for (const [layer, slots] of used.entries()) {
    for (const [head, n] of slots.entries()) {
      yield { layer, head, positions: saved.subarray(at, at + n) };
      at += n;
    }
  }
}

/**
 * Which token lies in which slot: the position of every used slot, 2³² − 1 for an empty one, by layer and KV head. What
 * kernels derive from them is made anew, so that nothing that was saved can lead a kernel astray.
 */
export const positions: Section = stagedSection("positions", {
  save(state, used) {
    const saved = new Uint32Array(used.flat().reduce((sum, n) => sum + n, 0));
    for (const { layer, head, positions } of heads(saved, used)) {
      const slots = headSlots(state.memory.buffer, state.cache[layer], head);
      positions.set(slots.positions.subarray(0, positions.length));
    }
    return new Uint8Array(saved.buffer);
  },

  fits: (bytes, _state, used) => bytes === 4 * used.flat().reduce((sum, n) => sum + n, 0),

  check(bytes, { position, plan }, used) {
    const seen = new Uint8Array(position);
    for (const { layer, head, positions } of heads(new Uint32Array(bytes.buffer), used)) {
      const where = `positions in layer ${layer}, KV head ${head},`;
      seen.fill(0);
      let held = 0;
      for (const slot of positions) {
        if (slot === EMPTY) continue;
        if (slot >= position || seen[slot] === 1) {
          throw new SnapshotError(where, slot, `different ones below ${position}`);
        }
        seen[slot] = 1;
        held++;
      }
      if (positions.length > 0 && positions.at(-1) === EMPTY) {
        throw new SnapshotError(where, "an empty slot behind the last token", "the slots up to the last one");
      }
      if (plan.policy === null && held !== position) {
        throw new SnapshotError(where, held, `all ${position} tokens, as no policy drops any`);
      }
      if (held > mostHeld(plan, layer)) {
        throw new SnapshotError(where, `${held} tokens`, `at most ${mostHeld(plan, layer)}, as planned`);
      }
    }
  },

  apply(bytes, state, used) {
    for (const { layer, head, positions } of heads(new Uint32Array(bytes.buffer), used)) {
      const slots = headSlots(state.memory.buffer, state.cache[layer], head);
      const free = positions.reduce((n, slot) => n + (slot === EMPTY ? 1 : 0), 0);
      slots.header.set([positions.length, free, Math.max(0, positions.indexOf(EMPTY)), 0]);
      slots.positions.set(positions);
    }
  },
});
