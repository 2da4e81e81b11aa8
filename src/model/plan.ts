/**
 * From a file's header and a caller's options to the place of everything in memory. Pure: no kernels, no weights.
 *
 * @module
 */
import { type Automatic, chooseAutomatically } from "../cache/auto.ts";
import { type CacheOptions, type CachePlan, layCaches, planCache } from "../cache/cache_plan.ts";
import { type KvTypeName, type KvTypes, kvTypes } from "../cache/kv_cache.ts";
import { layScores, layScratch, type PolicyScratch } from "../cache/policy_space.ts";
import { calibrationOf } from "../cache/calibration.ts";
import { layRotations } from "../cache/positions.ts";
import { layBooks } from "../cache/storage/books.ts";
import { OptionError } from "../error.ts";
import type { GgufModel } from "../gguf/mod.ts";
import type { Hparams } from "../hparams.ts";
import { SLOT_GROUP } from "../kernels/sizes.ts";
import {
  type Bytes,
  type Floats,
  type LayerCache,
  Layout,
  type Rotation,
  roundUp,
} from "../memory/handles.ts";
import { type MemoryPlan, placeRegions, regionOffset, RESERVED_BYTES } from "../memory/plan.ts";
import { laySurvivors, type SurvivorSpace } from "../sample/kernel_row.ts";
import { planVocabulary } from "../tokenizer/mod.ts";
import { defaultContext, readHparams } from "./arch/mod.ts";
import { declaredAnchors } from "./declared_anchors.ts";
import { headerFingerprint } from "./header_fingerprint.ts";
import { laySparse, type SparseSpace } from "./sparse_space.ts";
import { TensorTable } from "./tensor_table.ts";
import { bindWeights, type Weights } from "./weights.ts";
import { layWorkspace, type Workspace } from "./workspace.ts";

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

/** What one sequence owns. */
export interface SequencePlan {
  readonly cache: readonly LayerCache[];
  /** Scores of the slots of each layer, where the policy has any. */
  readonly scores: readonly Floats[];
  /** `[outputRows, V]`. */
  readonly logits: Floats;
}

/** The place of everything, and the sizes it was made for. */
export interface ModelPlan extends MemoryPlan {
  readonly hparams: Hparams;
  readonly context: number;
  readonly kvType: KvTypes;
  readonly caches: CachePlan;
  /** What the policy `auto` has chosen, and why. */
  readonly automatic: Automatic | null;
  readonly outputRows: number;
  readonly weights: Weights;
  /** Space for `repack` while weights load; the prompt's workspace lies there later. */
  readonly scratch: Bytes;
  /** Rotary frequencies of the model's one or two ropes, and ALiBi slopes `[H]`. */
  readonly frequencies: readonly Floats[];
  readonly slopes: Floats | null;
  /** The class of each token, where the policy asks for classes. */
  readonly classes: Bytes | null;
  /** Of each layer's keys, where they are rotated when they are read. */
  readonly rotations: readonly Rotation[];
  /** Codebooks of the storage. */
  readonly books: Bytes | null;
  /** For a chunk of a prompt, and for a token of each running text: they may interleave. */
  readonly prompt: Workspace;
  readonly step: Workspace;
  /** Room of the policy, shared by sequences. */
  readonly policyScratch: PolicyScratch | null;
  /** What prompts that are read sparsely work in. */
  readonly sparse: SparseSpace | null;
  readonly sequences: readonly SequencePlan[];
  /** Logits `[sequences, V]` of a token of each, on their way to where each keeps its own; none for one sequence. */
  readonly stepLogits: Floats;
  /** The best tokens of a row, on their way to the sampler; shared, as sampling is one synchronous step. */
  readonly survivors: SurvivorSpace;
  /** The sum of a text's hidden states `[D]`; one text at a time is embedded. */
  readonly embedding: Floats;
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
  const kvType = kvTypes(options.kvType, hparams);
  const weights = bindWeights(hparams, table, RESERVED_BYTES);
  const vocabularyBytes = planVocabulary(model.metadata).bytes;
  const policy = options.policy ?? declaredAnchors(model.metadata);
  const calibration = calibrationOf(options.calibration);
  if (calibration !== undefined && calibration.model !== headerFingerprint(model)) {
    throw foreignCalibration();
  }
  const planCaches = (chosen: CacheOptions) =>
    planCache(hparams, kvType, { ...chosen, calibration }, chunk, context);
  const automatic = policy === "auto" ? chooseAutomatically(options, planCaches, cacheBytes) : null;
  const caches = planCaches(automatic?.options ?? { ...options, policy });
  checkReach(hparams.nContext, context, caches);

  /** Lays all that follows the vocabulary; first from nowhere for its sizes, then in its place. */
  const lay = (at: (region: string) => Layout) => {
    const [tables, kv, slots, policy] = [at("tables"), at("kv"), at("slots"), at("policy")];
    const [activations, output] = [at("activations"), at("output")];
    const ropes = [hparams.rope, hparams.localRope].filter((rope) => rope !== undefined);
    const frequencies = ropes.map(({ dims }) => tables.floats(dims / 2));
    const slopes = hparams.positions === "alibi" ? tables.floats(hparams.nHeads) : null;
    const classes = caches.policy?.classes === undefined ? null : tables.block(hparams.nVocab);
    const rotations = layRotations(caches, hparams, context, tables);
    const books = layBooks(caches, tables);
    const sequences = Array.from({ length: nSequences }, () => ({
      cache: layCaches(caches, kv, slots, rotations, books),
      scores: layScores(caches, policy),
      logits: output.floats(outputRows * hparams.nVocab),
    }));
    const survivors = laySurvivors(hparams.nVocab, output);
    const embedding = output.floats(hparams.dim);
    const stepLogits = output.floats(nSequences === 1 ? 0 : nSequences * hparams.nVocab);
    const policyScratch = layScratch(caches, hparams, activations);
    const sparse = caches.prefill === "sparse" ? laySparse(hparams, kvType, context, activations) : null;
    const step = layWorkspace(hparams, nSequences, activations);
    const scratchStart = activations.end;
    const prompt = layWorkspace(hparams, chunk, activations);
    const scratch = new Layout(scratchStart).block(weights.scratchBytes);
    activations.take(Math.max(0, scratchStart + weights.scratchBytes - activations.end));
    const regions = { tables, kv, slots, ...(caches.scoreRows > 0 && { policy }), activations, output };
    const handles = {
      frequencies,
      slopes,
      classes,
      rotations,
      books,
      sequences,
      survivors,
      embedding,
      stepLogits,
      policyScratch,
      sparse,
      step,
      prompt,
      scratch,
    };
    return { regions, handles };
  };

  const sizes = lay(() => new Layout(0)).regions;
  const plan = placeRegions([
    { name: "weights", bytes: weights.bytes },
    { name: "vocabulary", bytes: vocabularyBytes },
    ...Object.entries(sizes).map(([name, { bytes }]) => ({ name, bytes })),
  ], options.maxBytes);
  const { handles } = lay((region) => new Layout(region in sizes ? regionOffset(plan, region) : 0));
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
  if (positions === "original") within("context", context, nContext);
  const slots = Math.max(...capacities);
  if (context > nContext && slots > roundUp(nContext, SLOT_GROUP)) {
    const wanted =
      `slots for budget and chunk within the model's context of ${nContext}, for a text beyond it`;
    throw new OptionError("budget", `${slots} slots`, wanted);
  }
}

/** Bytes of the caches of one sequence. */
function cacheBytes(caches: CachePlan): number {
  const layout = new Layout(0);
  layCaches(caches, layout, layout);
  layScores(caches, layout);
  return layout.bytes;
}

function within(option: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new OptionError(option, value, `a whole number from 1 to ${most}`);
}
