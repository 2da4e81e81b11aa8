/**
 * From a file's header and a caller's options to the place of everything in memory. Pure: no kernels, no weights.
 *
 * @module
 */
import { type Automatic, chooseAutomatically, type StoredOptions } from "../cache/auto.ts";
import { cacheBytes } from "../cache/cache_layout.ts";
import { type CacheOptions, type CachePlan, planCache } from "../cache/cache_plan.ts";
import { type KvTypeName, type KvTypes, kvTypes } from "../cache/kv_cache.ts";
import { calibrationOf } from "../cache/calibration.ts";
import { OptionError } from "../error.ts";
import type { GgufModel } from "../gguf/mod.ts";
import type { Hparams } from "../hparams.ts";
import { SLOT_GROUP } from "../kernels/sizes.ts";
import { Layout, roundUp } from "../memory/handles.ts";
import { type MemoryPlan, placeRegions, regionOffset, RESERVED_BYTES } from "../memory/plan.ts";
import { planVocabulary } from "../tokenizer/mod.ts";
import { defaultContext, readHparams } from "./arch/mod.ts";
import { declaredAnchors } from "./declared_anchors.ts";
import { headerFingerprint } from "./header_fingerprint.ts";
import { layModel, type ModelHandles } from "./model_layout.ts";
import { TensorTable } from "./tensor_table.ts";
import { bindWeights, type Weights } from "./weights.ts";

/** What a plan depends on beside the model. */
export interface PlanOptions extends CacheOptions {
  /**
   * Tokens of a sequence's text. Default: the model's own, at most 4,096. More than the model's own only at compact
   * positions.
   */
  readonly context?: number;
  /** Budget for the whole memory, in bytes. */
  readonly maxBytes?: number;
  /** Prompt tokens computed at once. Default 64, down to 16 for large models. */
  readonly chunk?: number;
  /** Sequences that can exist at once. Default 1. */
  readonly sequences?: number;
  /** Storage of keys and values. Default q8_0. */
  readonly kvType?: KvTypes | KvTypeName;
  /** Rows of logits that `score` computes at once. Default 1. */
  readonly outputRows?: number;
}

/** The place of everything, and the sizes it was made for. */
export interface ModelPlan extends MemoryPlan, ModelHandles {
  readonly hparams: Hparams;
  readonly context: number;
  readonly kvType: KvTypes;
  readonly caches: CachePlan;
  /** What the policy `auto` has chosen, and why. */
  readonly automatic: Automatic | null;
  readonly outputRows: number;
  readonly weights: Weights;
}

/** Tokens of the longest text: positions have 32 bits, the last of which stands for none. */
const MAX_TEXT = 2 ** 32 - 2;

/** Products that fit between two pauses of 10 ms, at 20 billion a second. */
const PAUSE_PRODUCTS = 2e8;

/** Prompt tokens at once: enough to use each weight often, few enough that no half of a layer takes long. */
function defaultChunk({ dim, ffnDim, gated }: Hparams): number {
  const productsPerToken = dim * ffnDim * (gated ? 3 : 2);
  return [64, 32].find((chunk) => chunk * productsPerToken <= PAUSE_PRODUCTS) ?? 16;
}

/**
 * Plans the memory of a model.
 *
 * @throws {MemoryBudgetError} When it takes more than `maxBytes`, or than 32-bit addresses reach.
 * @throws {UnsupportedModelError} When architecture, hyperparameters or tensors are not supported.
 * @throws {OptionError} When an option is out of bounds, such as a context beyond the model's.
 */
export function planModel(model: GgufModel, options: PlanOptions = {}): ModelPlan {
  const table = new TensorTable(model.tensors);
  const hparams = readHparams(model.metadata, table, options.context);
  const context = within("context", options.context ?? defaultContext(hparams.nContext), MAX_TEXT);
  const chunk = Math.min(context, within("chunk", options.chunk ?? defaultChunk(hparams), 4096));
  const nSequences = within("sequences", options.sequences ?? 1, 1024);
  const outputRows = within("outputRows", options.outputRows ?? 1, 4096);
  const asked = kvTypes(options.kvType, hparams);
  const weights = bindWeights(hparams, table, RESERVED_BYTES);
  const vocabularyBytes = planVocabulary(model.metadata).bytes;
  const policy = options.policy ?? declaredAnchors(model.metadata);
  const calibration = calibrationOf(options.calibration);
  if (calibration !== undefined && calibration.model !== headerFingerprint(model)) {
    throw foreignCalibration();
  }
  const planCaches = ({ kvType = asked, ...chosen }: StoredOptions) =>
    planCache(hparams, kvTypes(kvType, hparams), { ...chosen, calibration }, chunk, context);
  const automatic = policy === "auto" ? chooseAutomatically(options, planCaches, cacheBytes) : null;
  const caches = planCaches(automatic?.options ?? { ...options, policy });
  const kvType = kvTypes(automatic?.options.kvType ?? asked, hparams);
  checkReach(hparams.nContext, context, caches);

  const sizes = { hparams, context, chunk, nSequences, outputRows, kvType, caches, weights };
  // First from nowhere for the regions' bytes, then in their place.
  const { regions } = layModel(sizes, () => new Layout(0));
  const plan = placeRegions([
    { name: "weights", bytes: weights.bytes },
    { name: "vocabulary", bytes: vocabularyBytes },
    ...Object.entries(regions).map(([name, { bytes }]) => ({ name, bytes })),
  ], options.maxBytes);
  const { handles } = layModel(
    sizes,
    (region) => new Layout(region in regions ? regionOffset(plan, region) : 0),
  );
  return { ...plan, ...handles, hparams, context, kvType, caches, automatic, outputRows, weights };
}

/** A calibration is of another model than the one at hand. */
export function foreignCalibration(): OptionError {
  return new OptionError(
    "calibration",
    "one of another model",
    "what `deno task calibrate` made of this one",
  );
}

/**
 * Refuses positions that the model was not made for: those of the text, or, where positions are compact, those in the
 * cache, which then may be as long as it likes.
 */
function checkReach(nContext: number, context: number, { positions, capacities }: CachePlan): void {
  if (positions === "original" && context > nContext) {
    const wanted =
      `a whole number from 1 to ${nContext}, the model's own (more with a policy at compact positions)`;
    throw new OptionError("context", context, wanted);
  }
  const slots = Math.max(...capacities);
  if (context > nContext && slots > roundUp(nContext, SLOT_GROUP)) {
    const wanted =
      `slots for budget and chunk within the model's context of ${nContext}, for a text beyond it`;
    throw new OptionError("budget", `${slots} slots`, wanted);
  }
}

function within(option: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new OptionError(option, value, `a whole number from 1 to ${most}`);
}
