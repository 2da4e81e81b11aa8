/**
 * What of a sequence's cache is saved: of every KV head the slots up to the last one that holds a token, in groups of 32,
 * as they lie there. Slots keep their places, so that sums over them come out the same to the last bit.
 *
 * @module
 */
import type { CachePlan } from "../cache/cache_plan.ts";
import type { Bytes, Floats, LayerCache, Words } from "../memory/handles.ts";
import { memorySection, type Span } from "./memory_section.ts";
import { positions } from "./positions_section.ts";
import { inGroups, type Section, type SequenceState, type UsedSlots } from "./section.ts";

/** Keys or values of the used slots of each head: a head's slots lie together, group after group. */
function* spansOf(part: "keys" | "values", { cache }: SequenceState, used: UsedSlots): Generator<Span> {
  for (const [layer, heads] of used.entries()) {
    const { nKvHeads, capacity, [part]: { offset, length } } = cache[layer];
    const slotBytes = length / nKvHeads / capacity;
    for (const [head, slots] of heads.entries()) {
      yield { offset: offset + head * capacity * slotBytes, bytes: inGroups(slots) * slotBytes };
    }
  }
}

/** Scores of each row, up to the last slot that any head of the layer uses. Beyond it they are 0. */
function* scoreSpans({ cache, scores }: SequenceState, used: UsedSlots): Generator<Span> {
  for (const handle of new Set(scores)) {
    // A row that layers share is as long as the longest of them needs.
    const layers = [...scores.keys()].filter((layer) => scores[layer] === handle);
    const slots = Math.max(...layers.map((layer) => inGroups(Math.max(...used[layer]))));
    const { capacity } = cache[layers[0]];
    for (let row = 0; row < handle.length; row += capacity) {
      yield { offset: handle.offset + 4 * row, bytes: 4 * slots };
    }
  }
}

const whole = (handle: Floats | Words | Bytes): Span => ({
  offset: handle.offset,
  bytes: handle.kind === "bytes" ? handle.length : 4 * handle.length,
});

/** What storages and readers keep beside keys and values, all of it. */
function* stateSpans({ cache }: SequenceState): Generator<Span> {
  for (const { state = {} } of cache) {
    for (const name of Object.keys(state).sort()) yield whole(state[name]);
  }
}

/** Whether keys and values lie slot by slot; other storages are saved as a whole, and fit into the same capacity only. */
export function slotwise({ storage, positions, policy }: CachePlan): boolean {
  return storage.name === "plain" && positions === "original" && policy?.victims !== "mass_fold";
}

/** The cache of a sequence. */
export function cacheSections({ cache, scores, plan }: SequenceState): readonly Section[] {
  const part = (name: "keys" | "values") =>
    memorySection(
      name,
      slotwise(plan)
        ? (state, used) => spansOf(name, state, used)
        : (state) => state.cache.map((layer: LayerCache) => whole(layer[name])),
    );
  return [
    positions,
    part("keys"),
    part("values"),
    ...(scores.length > 0 ? [memorySection("scores", scoreSpans)] : []),
    ...(cache.some(({ state }) => state !== undefined) ? [memorySection("state", stateSpans)] : []),
  ];
}

/** The logits after the last token read. */
export const logits: Section = memorySection("logits", (state) => [whole(state.logits)]);
