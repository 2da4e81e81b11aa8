/**
 * The parts of a snapshot. State that is to survive is one section: a name, and where its bytes lie in memory; saving
 * and restoring follow from that.
 *
 * @module
 */
import type { CachePlan } from "../cache/cache_plan.ts";
import { SLOT_GROUP } from "../kernels/sizes.ts";
import type { Floats, LayerCache } from "../memory/handles.ts";

/** The state of a sequence, where it lies. */
export interface SequenceState {
  /** All of memory. */
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly cache: readonly LayerCache[];
  /** Scores of the slots of each layer, where the policy has any. */
  readonly scores: readonly Floats[];
  /** `[V]`, after the last token read. */
  readonly logits: Floats;
  readonly plan: CachePlan;
  /** Tokens read. */
  readonly position: number;
}

/** Slots from the first up to the last one that holds a token, by layer and KV head. */
export type UsedSlots = readonly (readonly number[])[];

/** A named part of a snapshot. */
export interface Section {
  readonly name: string;
  /** Its pieces, in order, as they are saved. */
  save(state: SequenceState, used: UsedSlots): Iterable<Uint8Array>;
  /**
   * Begins to restore it. Nothing of the sequence may change before `apply`, and nothing be allocated that the plan or a
   * limit does not allow.
   *
   * @param bytes What the snapshot says it takes.
   * @throws {SnapshotError} When it can't take that.
   */
  open(state: SequenceState, used: UsedSlots, bytes: number): OpenSection;
}

/** A section that is being restored. */
export interface OpenSection {
  /** Where its bytes go, in order. */
  readonly targets: Iterable<Uint8Array>;
  /** Whether they are parts of the sequence, which a mere check leaves alone. */
  readonly direct: boolean;
  /** Called when all of them are there, before anything of the sequence changes. @throws {SnapshotError} */
  check?(): void;
  /** Makes them the sequence's. */
  apply?(): void;
}

/** Slots of whole groups: what is saved of so many used ones. */
export function inGroups(slots: number): number {
  return Math.ceil(slots / SLOT_GROUP) * SLOT_GROUP;
}

/** Bytes of pieces together. */
export function bytesOf(pieces: Iterable<Uint8Array>): number {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes;
}
