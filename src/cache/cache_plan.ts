/**
 * From what a caller asks of the cache to its sizes: pure, and refused before anything is loaded.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Hparams } from "../hparams.ts";
import { SLOT_GROUP } from "../kernels/sizes.ts";
import { roundUp } from "../memory/handles.ts";
import { type AxisOptions, checkStored, readAxes } from "./axes.ts";
import { type Calibration, calibrationOf } from "./calibration.ts";
import { type Budget, DEFAULT_BUDGET, readBudget, shareOf } from "./budget.ts";
import type { BudgetRule } from "./budget_rule.ts";
import { cacheBytes } from "./cache_layout.ts";
import type { KvTypes } from "./kv_cache.ts";
import { readPolicy } from "./policies/mod.ts";
import type { Policy } from "./policy.ts";
import { fittingRows } from "./policy_space.ts";
import { type Positions, readPositions } from "./positions.ts";
import { readReader } from "./read/mod.ts";
import type { ReadPlan, StoragePlan, StorageSetting } from "./storage.ts";
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
  const named = typeof options.policy === "object" ? options.policy : readPolicy(options.policy ?? "full");
  const { policy, budgetRule } = readAxes(named, options);
  const prefill = oneOf("prefill", options.prefill ?? "streaming", ["streaming", "whole", "sparse"]);
  const calibration = calibrationOf(options.calibration);
  const budget = options.budget === undefined ? DEFAULT_BUDGET : readBudget(options.budget);
  const setting = { hparams, types, policy, prefill, chunk, context, budget, calibration };
  const storage = readStorage(options.storage ?? policy?.storage ?? "plain", setting);
  if (storage.demotes && budget.unit === "bytes") {
    return planDemoted(hparams, types, options, chunk, context, budget);
  }
  const read = readReader(options.read ?? policy?.read ?? "dense", setting);
  checkStored({ policy, budgetRule }, storage, read);
  const positions = readPositions(options.positions, hparams, policy, storage, read);
  const axes = { policy, budgetRule, nHeads: hparams.nHeads, budget, prefill, positions, storage, read };
  if (policy !== null) return planReduced(hparams, { ...axes, policy }, options.budget, chunk, context);
  for (const option of ["budget", "prefill", "positions"] as const) {
    if (options[option] === undefined) continue;
    throw new OptionError(option, options[option], "a policy beside it: `full` keeps everything");
  }
  const capacities = new Array(hparams.nLayers).fill(roundUp(context, SLOT_GROUP));
  return { ...axes, capacities, mostSlots: capacities, scoreRows: 0, tile: 0 };
}

/** Bytes become the most tokens that may matter: everything stays, so that room for those is all that a budget decides. */
function planDemoted(
  hparams: Hparams,
  types: KvTypes,
  options: CacheOptions,
  chunk: number,
  context: number,
  bytes: Budget,
): CachePlan {
  const planFor = (slots: number) =>
    planCache(hparams, types, { ...options, budget: Math.max(2, slots) }, chunk, context);
  const { value } = inSlots(bytes, (slots) => cacheBytes(planFor(slots)));
  if (value < 2) throw new OptionError("budget", options.budget, `${cacheBytes(planFor(2))} bytes at least`);
  return planFor(Math.min(value, roundUp(context, SLOT_GROUP)));
}

/** What is known of a plan before its sizes are. */
type Axes = Omit<CachePlan, "capacities" | "mostSlots" | "scoreRows" | "tile">;

/** Sizes the caches of which a policy keeps a part; `asked` is the budget as the caller put it. */
function planReduced(
  hparams: Hparams,
  axes: Axes & { readonly policy: Policy },
  asked: CacheOptions["budget"],
  chunk: number,
  context: number,
): CachePlan {
  const { nLayers, nHeads, nKvHeads } = hparams;
  const { policy, budgetRule, prefill } = axes;
  if (nHeads % nKvHeads !== 0) {
    throw new OptionError("policy", policy.name, "a model whose heads form groups");
  }
  if (prefill === "sparse") checkSparse(hparams, axes);

  const all = roundUp(context, SLOT_GROUP);
  const scoreRows = { none: 0, layer: 1, kvHead: nKvHeads, head: nHeads }[policy.scores];
  const later = policy.steps ? (policy.every ?? 1) - 1 : policy.reserve ?? 0;
  const room = chunk + later;
  const factor = budgetRule?.most ?? 1;
  const holdsAll = prefill === "whole" || policy.victims === "demote";
  /** Slots per KV head for a layer's budget, in a text of any length. */
  const slotsFor = (budget: number) =>
    holdsAll ? budget : roundUp(Math.floor(factor * budget) + room, SLOT_GROUP);
  const budget = inSlots(axes.budget, (slots) => {
    const capacities = layerBudgets(policy, slots, nLayers).map(slotsFor);
    return cacheBytes({ ...axes, scoreRows, capacities });
  });

  const most = budgetAt({ policy, budget }, context);
  const budgets = layerBudgets(policy, most, nLayers);
  const least = Math.min(...budgets);
  if (least < policy.minBudget) {
    const found = least === most ? asked : `${least} slots in a layer`;
    throw new OptionError("budget", found, `at least ${policy.minBudget} slots, as ${policy.name} is set`);
  }
  const capacities = budgets.map((slots) => holdsAll ? all : Math.min(all, slotsFor(slots)));
  const mostSlots = holdsAll
    ? capacities
    // The largest budget for which there are that many.
    : capacities.map((slots) => slots === all ? all : Math.ceil((slots - room + 1) / factor) - 1);
  const rows = policy.promptRows === "all" ? Infinity : policy.promptRows === "none" ? 1 : policy.promptRows;
  const tile = Math.max(1, Math.min(rows, chunk, fittingRows(nHeads, Math.max(...capacities))));
  return { ...axes, budget, capacities, mostSlots, scoreRows, tile };
}

/** Refuses sparse prompts with what is made of all tokens, or of attention over all of them. */
function checkSparse(
  { residual }: Hparams,
  { policy, positions, storage, read }: Axes & { readonly policy: Policy },
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

/** More than memory holds. */
const MAX_SLOTS = 2 ** 32;

/** Bytes become the largest budget whose cache, with the room that it needs beside it, takes no more. */
function inSlots(budget: Budget, bytesOf: (slots: number) => number): Budget {
  if (budget.unit !== "bytes") return budget;
  let [fits, over] = [0, SLOT_GROUP];
  // A policy's own budgets of layers may be the same whatever the mean.
  while (over < MAX_SLOTS && bytesOf(over) <= budget.value) [fits, over] = [over, 2 * over];
  while (over - fits > 1) {
    const middle = Math.floor((fits + over) / 2);
    if (bytesOf(middle) <= budget.value) fits = middle;
    else over = middle;
  }
  return { unit: "slots", value: fits };
}

function oneOf<T extends string>(option: string, value: T, values: readonly T[]): T {
  if (values.includes(value)) return value;
  throw new OptionError(option, value, values.join(", "));
}
