/**
 * What a sequence's cache holds and takes.
 *
 * @module
 */
import type { LayerCache } from "../memory/handles.ts";
import type { CacheKeeper } from "./cache_keeper.ts";
import { cacheBytes } from "./cache_layout.ts";
import type { CachePlan } from "./cache_plan.ts";
import type { PolicyValue } from "./policy.ts";
import type { Positions } from "./positions.ts";

/** Share of the tokens read that a layer's KV heads still hold. */
export interface KeptShare {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
}

/** State of a sequence's cache. */
export interface CacheReport {
  readonly policy: string;
  readonly params: Readonly<Record<string, PolicyValue>>;
  /** How a layer's budget is spread over its KV heads, and what becomes of tokens that leave. */
  readonly budgetRule: string;
  readonly victims: string;
  /** `original`, those of the text, or `compact`, those in the cache. */
  readonly positions: Positions;
  /** How keys and values are stored, and what of them is read. */
  readonly storage: string;
  readonly read: string;
  /** Slots allocated per KV head, in the layer that has most. */
  readonly capacity: number;
  /** Slots in use, of the layer and KV head that hold most. */
  readonly slots: number;
  /** Most slots that one KV head has held at once. */
  readonly peakSlots: number;
  /** Allocated for keys, values, slots, scores, and what storage and reader keep beside them. */
  readonly bytes: number;
  /** The part of them that slots in use take, with what is there in any case: rings of codecs, indexes of readers. */
  readonly usedBytes: number;
  readonly kept: readonly KeptShare[];
  /** Milliseconds spent on scores and on choosing since the text began. */
  readonly scoringMs: number;
}

/** Reads the state of a cache whose text has `position` tokens. */
export function reportCache(
  caches: readonly LayerCache[],
  keeper: CacheKeeper | null,
  plan: CachePlan,
  position: number,
): CacheReport {
  const used = keeper?.used() ?? caches.map(({ nKvHeads }) => new Array<number>(nKvHeads).fill(position));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const slots = Math.max(...used.flat());
  const bytes = cacheBytes(plan);
  // An index is made for all slots that there are.
  const slotted = { ...plan, read: null };
  return {
    policy: keeper?.policy.name ?? "full",
    params: keeper?.policy.params ?? {},
    budgetRule: plan.budgetRule?.name ?? "uniform",
    victims: keeper?.policy.victims ?? "drop",
    positions: plan.positions,
    storage: plan.storage.name,
    read: plan.read?.name ?? "dense",
    capacity: Math.max(...caches.map(({ capacity }) => capacity)),
    slots,
    peakSlots: keeper?.peak ?? slots,
    bytes,
    usedBytes: bytes - cacheBytes(slotted) + cacheBytes({ ...slotted, capacities: used.map(mean) }),
    kept: used.map((heads) => {
      const shares = heads.map((n) => position === 0 ? 1 : n / position);
      return { min: Math.min(...shares), mean: mean(shares), max: Math.max(...shares) };
    }),
    scoringMs: keeper?.ms ?? 0,
  };
}
