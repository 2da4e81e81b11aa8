import { EMPTY, headSlots } from "../../src/kernels/head_slots.ts";
import type { RigMemory } from "./rig_memory.ts";

/** What a cache holds, to be looked at. */
export class RigView {
  constructor(protected readonly memory: RigMemory) {}

  /** Slot of each position held, per KV head. */
  slots(layer = 0): Map<number, number>[] {
    const { kernels, caches } = this.memory;
    return Array.from({ length: caches[layer].nKvHeads }, (_, head) => {
      const { positions } = headSlots(kernels.buffer, caches[layer], head);
      const held = Array.from(positions, (position, slot) => [position, slot] as const);
      return new Map(held.filter(([position]) => position !== EMPTY));
    });
  }

  /** Positions held, ascending, per KV head. */
  kept(layer = 0): number[][] {
    return this.slots(layer).map((slots) => [...slots.keys()].sort((a, b) => a - b));
  }

  /** Scores of one row by position, in order of position. */
  scores(row: number, layer = 0): number[] {
    const { arena, caches, scores } = this.memory;
    const view = arena.floats(scores[layer]);
    const { capacity, nKvHeads } = caches[layer];
    const head = Math.floor(row * nKvHeads * capacity / view.length);
    return this.#inOrder(head, layer).map((slot) => view[row * capacity + slot]);
  }

  /** Biases of a KV head in order of position; zeros where the policy has none. */
  biases(head: number, layer = 0): number[] {
    const { arena, caches } = this.memory;
    const { bias, capacity } = caches[layer];
    const view = bias && arena.floats(bias);
    return this.#inOrder(head, layer).map((slot) => view === undefined ? 0 : view[head * capacity + slot]);
  }

  /** Keys and values of a KV head as stored in f32, in order of position. */
  stored(head: number, layer = 0): { k: number[][]; v: number[][] } {
    const { arena, caches, hparams: { headDim } } = this.memory;
    const { keys, values, capacity } = caches[layer];
    const [ks, vs] = [keys, values].map(({ offset, length }) =>
      arena.floats({ kind: "f32", offset, length: length / 4 })
        .subarray(head * capacity * headDim, (head + 1) * capacity * headDim)
    );
    const slots = this.#inOrder(head, layer);
    const dims = [...Array(headDim).keys()];
    return {
      // Four keys lie side by side.
      k: slots.map((slot) => dims.map((i) => ks[(slot >> 2) * 4 * headDim + 4 * i + slot % 4])),
      v: slots.map((slot) => [...vs.subarray(slot * headDim, (slot + 1) * headDim)]),
    };
  }

  /** Where the scores of a layer lie. */
  scoresPlace(layer = 0): { offset: number; length: number } {
    const { offset, length } = this.memory.scores[layer];
    return { offset, length };
  }

  /** Scratch scores of the first `n` slots of a KV head. */
  scratch(head: number, n: number): number[] {
    const { arena, caches: [{ capacity }], scratch } = this.memory;
    return [...arena.floats(scratch!.logits).subarray(head * capacity, head * capacity + n)];
  }

  brokenGuards(): string[] {
    return this.memory.arena.brokenGuards();
  }

  /** Slots of a KV head in order of position. */
  #inOrder(head: number, layer: number): number[] {
    return [...this.slots(layer)[head]].sort(([a], [b]) => a - b).map(([, slot]) => slot);
  }
}
