/**
 * Where the caches of a plan lie, and what they take.
 *
 * @module
 */
import { type Bytes, type LayerCache, Layout, type Rotation } from "../memory/handles.ts";
import type { Policy } from "./policy.ts";
import { layPolicyState, layScores } from "./policy_space.ts";
import { layPositions, type Positions } from "./positions.ts";
import type { AttentionRules, KvStorage, ReadPlan, StoragePlan } from "./storage.ts";

/** How the tokens of a cache are stored and read. */
interface Stored {
  readonly storage: StoragePlan;
  readonly read: ReadPlan | null;
}

/** What of a plan the caches are laid out by. */
interface Laid extends Stored {
  readonly policy: Policy | null;
  readonly nHeads: number;
  readonly positions: Positions;
  /** Slots per KV head of each layer. */
  readonly capacities: readonly number[];
}

/**
 * Lays out the caches of one sequence.
 *
 * @param rotations As `layRotations` has laid them out.
 */
export function layCaches(
  { capacities, positions, storage, read, ...plan }: Laid,
  kv: Layout,
  slots: Layout,
  rotations: readonly Rotation[] = [],
  books: Bytes | null = null,
): readonly LayerCache[] {
  const stored = layPositions(
    { positions, policy: plan.policy },
    storage.lay(capacities, kv, slots, books),
    rotations,
    slots,
  );
  const layers = layPolicyState(plan, stored, kv);
  return read === null ? layers : read.lay(layers, kv);
}

/**
 * Bytes of the caches of one sequence: keys, values, slots, scores, and what policy, storage and reader keep beside them.
 * For sizes alone, `capacities` may be any numbers of slots, though they are allocated in whole groups.
 */
export function cacheBytes(plan: Laid & { readonly scoreRows: number }): number {
  const layout = new Layout(0);
  layCaches(plan, layout, layout);
  layScores(plan, layout);
  return layout.bytes;
}

/** Opens the caches of one sequence. */
export function openCaches(
  { storage, read }: Stored,
  rules: AttentionRules,
  layers: readonly LayerCache[],
): KvStorage {
  const opened = storage.open(rules, layers);
  return read === null ? opened : read.open(rules, opened);
}
