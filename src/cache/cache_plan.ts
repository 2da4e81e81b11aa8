/**
 * From what a caller asks of the cache to its sizes: pure, and refused before anything is loaded.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Hparams } from "../hparams.ts";
import { SLOT_GROUP } from "../kernels/sizes.ts";
import { type Bytes, type LayerCache, Layout, type Rotation, roundUp } from "../memory/handles.ts";
import { type AxisOptions, checkStored, readAxes } from "./axes.ts";
import { type Calibration, calibrationOf } from "./calibration.ts";
import { type Budget, DEFAULT_BUDGET, readBudget, shareOf } from "./budget.ts";
import type { BudgetRule } from "./budget_rule.ts";
import type { KvTypes } from "./kv_cache.ts";
import { readPolicy } from "./policies/mod.ts";
import type { Policy } from "./policy.ts";
import { layPolicyState } from "./policy_space.ts";
import { layPositions, type Positions, readPositions } from "./positions.ts";
import { readReader } from "./read/mod.ts";
import type { AttentionRules, KvStorage, ReadPlan, StoragePlan, StorageSetting } from "./storage.ts";
import { readStorage } from "./storage/mod.ts";

/** How a prompt is read. */
export type Prefill = "streaming" | "whole" | "sparse";

/** How a sequence's cache is kept small. */
export interface CacheOptions extends AxisOptions {
  /**
   * What stays in the cache: `NAME[:key=value,…]` as `deno task policies` lists them, or a policy of one's own.
   * Default `full`: everything. `auto` with a budget in bytes: what loses least in them.
   */
  readonly policy?: string | Policy;
  /** Up to 1 a share of the prompt, above slots per layer and KV head, as `24MB` bytes of a sequence. Default 0.5. */
  readonly budget?: number | string;
  /**
   * `streaming` (default) reduces after every chunk of the prompt, in a cache of budget and one chunk. `whole` reduces
   * once, after the prompt, as the papers do, in a cache that holds the whole context. `sparse` computes the attention of
   * and over those tokens of a first prompt alone that the policy keeps, layer by layer; later prompts stream.
   */
  readonly prefill?: Prefill;
  /**
   * `original`: a token keeps its position in the text. `compact`: its position is its place among the tokens that are
   * held, so that a text may be longer than the model's context. Default: the policy's, mostly `original`.
   */
  readonly positions?: Positions;
  /** How keys and values are stored: `NAME[:key=value,…]`. Default: the policy's, or `plain`: as `kvType` says. */
  readonly storage?: string | ((setting: StorageSetting) => StoragePlan);
  /** What `deno task calibrate` has learned about the model: bytes of its file, or what `readCalibration` makes of them. */
  readonly calibration?: Uint8Array | Calibration;
  /** What of them is read: `NAME[:key=value,…]`. Default: the policy's, or `dense`: everything. */
  readonly read?: string;
}

/** Sizes of the caches of all layers, and the rules they follow. */
export interface CachePlan {
  /** None: everything stays. */
  readonly policy: Policy | null;
  /** None: every KV head of a layer keeps as many. */
  readonly budgetRule: BudgetRule | null;
  readonly nHeads: number;
  readonly budget: Budget;
  readonly prefill: Prefill;
  readonly positions: Positions;
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
  const named = typeof options.policy === "object" ? options.policy : readPolicy(options.policy ?? "full");
  const { policy, budgetRule } = readAxes(named, options);
  const prefill = oneOf("prefill", options.prefill ?? "streaming", ["streaming", "whole", "sparse"]);
  const calibration = calibrationOf(options.calibration);
  const asked = options.budget === undefined ? DEFAULT_BUDGET : readBudget(options.budget);
  const setting = { hparams, types, policy, prefill, chunk, context, budget: asked, calibration };
  const storage = readStorage(options.storage ?? policy?.storage ?? "plain", setting);
  const read = readReader(options.read ?? policy?.read ?? "dense", setting);
  checkStored({ policy, budgetRule }, storage, read);
  const positions = readPositions(options.positions, hparams, policy, storage, read);
  const all = roundUp(context, SLOT_GROUP);
  if (policy === null) {
    for (const option of ["budget", "prefill", "positions"] as const) {
      if (options[option] === undefined) continue;
      throw new OptionError(option, options[option], "a policy beside it: `full` keeps everything");
    }
    const capacities = new Array(nLayers).fill(all);
    return {
      policy,
      budgetRule,
      nHeads,
      budget: DEFAULT_BUDGET,
      prefill,
      positions,
      storage,
      read,
      capacities,
      mostSlots: capacities,
      scoreRows: 0,
      tile: 0,
    };
  }
  if (nHeads % nKvHeads !== 0) {
    throw new OptionError("policy", policy.name, "a model whose heads form groups");
  }

  if (prefill === "sparse") checkSparse(hparams, { policy, positions, storage, read });

  const scoreRows = { none: 0, layer: 1, kvHead: nKvHeads, head: nHeads }[policy.scores];
  const later = policy.steps ? (policy.every ?? 1) - 1 : policy.reserve ?? 0;
  const room = chunk + later;
  const factor = budgetRule?.most ?? 1;
  const budget = inSlots(
    asked,
    { policy, nHeads, positions, storage, read, scoreRows, nLayers },
    prefill === "whole" ? { room: 0, factor: 1 } : { room, factor },
  );
  const most = budgetAt({ policy, budget }, context);
  const budgets = layerBudgets(policy, most, nLayers);
  const holdsAll = prefill === "whole" || policy.victims === "demote";
  const least = Math.min(...budgets);
  if (least < policy.minBudget) {
    const found = least === most ? options.budget : `${least} slots in a layer`;
    throw new OptionError("budget", found, `at least ${policy.minBudget} slots, as ${policy.name} is set`);
  }
  const capacities = budgets.map((slots) =>
    holdsAll ? all : Math.min(all, roundUp(Math.floor(factor * slots) + room, SLOT_GROUP))
  );
  const mostSlots = holdsAll
    ? capacities
    : capacities.map((slots) => slots === all ? all : Math.floor((slots - room) / factor));
  const rows = policy.promptRows === "all" ? MAX_TILE : policy.promptRows === "none" ? 1 : policy.promptRows;
  const fitting = Math.floor(TILE_BYTES / (4 * nHeads * Math.max(...capacities)));
  const tile = Math.max(1, Math.min(rows, MAX_TILE, chunk, fitting));
  return {
    policy,
    budgetRule,
    nHeads,
    budget,
    prefill,
    positions,
    storage,
    read,
    capacities,
    mostSlots,
    scoreRows,
    tile,
  };
}

/** Refuses sparse prompts with what is made of all tokens, or of attention over all of them. */
function checkSparse(
  { residual }: Hparams,
  { policy, positions, storage, read }: Pick<CachePlan, "positions" | "storage" | "read"> & {
    policy: Policy;
  },
): void {
  const refuse = (wanted: string) => {
    throw new OptionError("prefill", "sparse", wanted);
  };
  if (policy.sparse === undefined) {
    refuse(`streaming or whole: ${policy.name} ranks tokens by attention over all`);
  }
  if (read !== null) refuse(`streaming or whole: ${read.name} looks at all keys of a prompt`);
  if (storage.name !== "plain" && !storage.demotes) refuse(`storage plain or mixed, not ${storage.name}`);
  if (positions === "compact") refuse("original positions");
  if (residual === "parallel") refuse("a model whose feed-forward comes after attention, not beside it");
}

/** Slots that a budget stands for after so many tokens: of the prompt, or of all, where a policy's budget grows. */
export function budgetAt(
  { policy, budget: { unit, value } }: Pick<CachePlan, "policy" | "budget">,
  nTokens: number,
): number {
  if (unit !== "share") return value;
  // As in `shareOf`, products may lie beside the integer that they stand for.
  return policy?.grows ? Math.ceil(value * nTokens - 1e-9) : shareOf(value, nTokens);
}

/** Slots of each layer for a mean of `budget`, once text and prompt have `nTokens`. */
export function layerBudgets(policy: Policy, budget: number, nLayers: number, nTokens = Infinity): number[] {
  return Array.from(
    { length: nLayers },
    (_, layer) =>
      policy.layerBudget === undefined
        ? budget
        : Math.floor(policy.layerBudget(budget, layer, nLayers, nTokens)),
  );
}

/** What the caches of a plan are laid out by. */
type Laid = Pick<CachePlan, "policy" | "nHeads" | "positions" | "storage" | "read">;

/** Bytes of a layer's cache: what it takes in any case, and for one more slot of all KV heads. */
export function layerBytes(laid: Laid): { readonly fixed: number; readonly slot: number } {
  const bytes = (capacity: number) => {
    const layout = new Layout(0);
    layCaches({ ...laid, capacities: [capacity] }, layout, layout);
    return layout.bytes;
  };
  const [one, two] = [bytes(SLOT_GROUP), bytes(2 * SLOT_GROUP)];
  return { fixed: 2 * one - two, slot: (two - one) / SLOT_GROUP };
}

/** Bytes become the slots whose cache, with the room that it needs beside them, takes no more. */
function inSlots(
  budget: Budget,
  { scoreRows, nLayers, ...laid }: Laid & { readonly scoreRows: number; readonly nLayers: number },
  { room, factor }: { readonly room: number; readonly factor: number },
): Budget {
  if (budget.unit !== "bytes") return budget;
  const { fixed, slot } = layerBytes(laid);
  const slots = Math.max(0, Math.floor((budget.value / nLayers - fixed) / (slot + 4 * scoreRows)));
  if (room === 0) return { unit: "slots", value: slots };
  return {
    unit: "slots",
    value: Math.floor((Math.floor(slots / SLOT_GROUP) * SLOT_GROUP - room) / factor),
  };
}

function oneOf<T extends string>(option: string, value: T, values: readonly T[]): T {
  if (values.includes(value)) return value;
  throw new OptionError(option, value, values.join(", "));
}

/**
 * Lays out the caches of one sequence.
 *
 * @param rotations As `layRotations` has laid them out.
 */
export function layCaches(
  { capacities, positions, storage, read, ...plan }: Laid & Pick<CachePlan, "capacities">,
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

/** Opens the caches of one sequence. */
export function openCaches(plan: CachePlan, rules: AttentionRules, layers: readonly LayerCache[]): KvStorage {
  const storage = plan.storage.open(rules, layers);
  return plan.read === null ? storage : plan.read.open(rules, storage);
}
