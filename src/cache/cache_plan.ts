/**
 * From what a caller asks of the cache to its sizes: pure, and refused before anything is loaded.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Hparams } from "../hparams.ts";
import { SLOT_GROUP } from "../kernels/sizes.ts";
import { type Floats, type LayerCache, Layout, roundUp } from "../memory/handles.ts";
import { type Budget, DEFAULT_BUDGET, readBudget, shareOf } from "./budget.ts";
import type { KvTypes } from "./kv_cache.ts";
import { readPolicy } from "./policies/mod.ts";
import type { Policy } from "./policy.ts";
import { readReader } from "./read/mod.ts";
import type { AttentionRules, KvStorage, ReadPlan, StoragePlan } from "./storage.ts";
import { readStorage } from "./storage/mod.ts";

/** How a sequence's cache is kept small. */
export interface CacheOptions {
  /**
   * What stays in the cache: `NAME[:key=value,…]` as `deno task policies` lists them, or a policy of one's own.
   * Default `full`: everything.
   */
  readonly policy?: string | Policy;
  /** Up to 1 a share of the prompt, above slots per layer and KV head, as `24MB` bytes of a sequence. Default 0.5. */
  readonly budget?: number | string;
  /**
   * `streaming` (default) reduces after every chunk of the prompt, in a cache of budget and one chunk. `whole` reduces
   * once, after the prompt, as the papers do, in a cache that holds the whole context.
   */
  readonly prefill?: "whole" | "streaming";
  /** `original` (default): a token keeps its position in the text. */
  readonly positions?: "original" | "compact";
  /** How keys and values are stored: `NAME[:key=value,…]`. Default: the policy's, or `plain`: as `kvType` says. */
  readonly storage?: string;
  /** What of them is read: `NAME[:key=value,…]`. Default: the policy's, or `dense`: everything. */
  readonly read?: string;
}

/** Sizes of the caches of all layers, and the rules they follow. */
export interface CachePlan {
  /** None: everything stays. */
  readonly policy: Policy | null;
  readonly budget: Budget;
  readonly prefill: "whole" | "streaming";
  readonly storage: StoragePlan;
  /** None: everything is read. */
  readonly read: ReadPlan | null;
  /** Slots per KV head of each layer. */
  readonly capacities: readonly number[];
  /** Largest budget of each layer that its capacity leaves room for. */
  readonly mostSlots: readonly number[];
  /** Rows of scores per layer. */
  readonly scoreRows: number;
  /** Tokens whose rows of attention are observed at once. */
  readonly tile: number;
}

/** Rows of logits that wait to be observed take at most this, so that they stay in a cache of the processor. */
const TILE_BYTES = 2 ** 20;
const MAX_TILE = 16;

/**
 * Sizes the caches.
 *
 * @param chunk Prompt tokens computed at once.
 * @param context Tokens a sequence can hold.
 * @throws {OptionError} When an option is out of bounds or two of them do not go together.
 */
export function planCache(
  hparams: Hparams,
  types: KvTypes,
  options: CacheOptions,
  chunk: number,
  context: number,
): CachePlan {
  const { nLayers, nHeads, nKvHeads } = hparams;
  const policy = typeof options.policy === "object" ? options.policy : readPolicy(options.policy ?? "full");
  const prefill = oneOf("prefill", options.prefill ?? "streaming", ["whole", "streaming"]);
  const positions = oneOf("positions", options.positions ?? "original", ["original", "compact"]);
  const setting = { hparams, types, policy, prefill, chunk, context };
  const storage = readStorage(options.storage ?? policy?.storage ?? "plain", setting);
  const read = readReader(options.read ?? policy?.read ?? "dense", setting);
  const all = roundUp(context, SLOT_GROUP);
  if (policy === null) {
    for (const option of ["budget", "prefill", "positions"] as const) {
      if (options[option] === undefined) continue;
      throw new OptionError(option, options[option], "a policy beside it: `full` keeps everything");
    }
    const capacities = new Array(nLayers).fill(all);
    return {
      policy,
      budget: DEFAULT_BUDGET,
      prefill,
      storage,
      read,
      capacities,
      mostSlots: capacities,
      scoreRows: 0,
      tile: 0,
    };
  }
  if (positions === "compact") throw new OptionError("positions", positions, whyOriginal(hparams));
  if (nHeads % nKvHeads !== 0) {
    throw new OptionError("policy", policy.name, "a model whose heads form groups");
  }

  const scoreRows = { none: 0, layer: 1, kvHead: nKvHeads, head: nHeads }[policy.scores];
  const later = policy.steps ? (policy.every ?? 1) - 1 : policy.reserve ?? 0;
  const room = chunk + later;
  const budget = inSlots(
    options.budget === undefined ? DEFAULT_BUDGET : readBudget(options.budget),
    nLayers * (slotBytes(storage, read) + 4 * scoreRows),
    prefill === "streaming" ? room : 0,
  );
  const most = budget.unit === "share" ? shareOf(budget.value, context) : budget.value;
  const budgets = layerBudgets(policy, most, nLayers);
  const least = Math.min(...budgets);
  if (least < policy.minBudget) {
    const found = least === most ? options.budget : `${least} slots in a layer`;
    throw new OptionError("budget", found, `at least ${policy.minBudget} slots, as ${policy.name} is set`);
  }
  const capacities = budgets.map((slots) =>
    prefill === "whole" ? all : Math.min(all, roundUp(slots + room, SLOT_GROUP))
  );
  const mostSlots = prefill === "whole"
    ? capacities
    : capacities.map((slots) => slots === all ? all : slots - room);
  const rows = policy.promptRows === "all" ? MAX_TILE : policy.promptRows === "none" ? 1 : policy.promptRows;
  const fitting = Math.floor(TILE_BYTES / (4 * nHeads * Math.max(...capacities)));
  const tile = Math.max(1, Math.min(rows, MAX_TILE, chunk, fitting));
  return { policy, budget, prefill, storage, read, capacities, mostSlots, scoreRows, tile };
}

/** Slots of each layer for a mean of `budget`. */
export function layerBudgets(policy: Policy, budget: number, nLayers: number): number[] {
  return Array.from(
    { length: nLayers },
    (_, layer) =>
      policy.layerBudget === undefined ? budget : Math.floor(policy.layerBudget(budget, layer, nLayers)),
  );
}

/** Bytes of one more slot of all KV heads of a layer. */
function slotBytes(storage: StoragePlan, read: ReadPlan | null): number {
  const bytes = (capacity: number) => {
    const layout = new Layout(0);
    layCaches({ storage, read, capacities: [capacity] }, layout, layout);
    return layout.bytes;
  };
  return (bytes(2 * SLOT_GROUP) - bytes(SLOT_GROUP)) / SLOT_GROUP;
}

/** Bytes become the slots whose cache, with the room that it needs beside them, takes no more. */
function inSlots(budget: Budget, bytesPerSlot: number, room: number): Budget {
  if (budget.unit !== "bytes") return budget;
  const slots = Math.floor(budget.value / bytesPerSlot);
  return { unit: "slots", value: room === 0 ? slots : Math.floor(slots / SLOT_GROUP) * SLOT_GROUP - room };
}

function whyOriginal({ positions }: Hparams): string {
  if (positions === "learned") return "original: learned positions are part of what is stored";
  return "original: keys are stored where their token stood";
}

function oneOf<T extends string>(option: string, value: T, values: readonly T[]): T {
  if (values.includes(value)) return value;
  throw new OptionError(option, value, values.join(" or "));
}

/** Lays out the caches of one sequence. */
export function layCaches(
  { storage, read, capacities }: Pick<CachePlan, "storage" | "read" | "capacities">,
  kv: Layout,
  slots: Layout,
): readonly LayerCache[] {
  const layers = storage.lay(capacities, kv, slots);
  return read === null ? layers : read.lay(layers, kv);
}

/** Opens the caches of one sequence. */
export function openCaches(plan: CachePlan, rules: AttentionRules, layers: readonly LayerCache[]): KvStorage {
  const storage = plan.storage.open(rules, layers);
  return plan.read === null ? storage : plan.read.open(rules, storage);
}

/** Where scores lie. */
export interface PolicySpace {
  /** `[scoreRows, capacity]` of each layer, all the same one where a policy shares it; none without scores. */
  readonly scores: readonly Floats[];
  /** Logits `[H, tile, capacity]` on their way to become scores, or scores for one choice only; shared by sequences. */
  readonly scratch: Floats;
}

/** Lays out the scores of one sequence. */
export function layScores(plan: CachePlan, policy: Layout): readonly Floats[] {
  if (plan.scoreRows === 0) return [];
  const shared = plan.policy?.shared ? policy.floats(plan.scoreRows * plan.capacities[0]) : undefined;
  return plan.capacities.map((capacity) => shared ?? policy.floats(plan.scoreRows * capacity));
}

/** Lays out what observing needs, once for all sequences. */
export function layScratch(
  plan: CachePlan,
  { nHeads, nKvHeads }: Hparams,
  activations: Layout,
): Floats | null {
  if (plan.policy === null) return null;
  const capacity = Math.max(...plan.capacities);
  return activations.floats(capacity * (plan.policy.observe === undefined ? nKvHeads : nHeads * plan.tile));
}
