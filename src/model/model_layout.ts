/**
 * Where in memory everything of a model lies that follows its weights and its vocabulary.
 *
 * @module
 */
import { layCaches } from "../cache/cache_layout.ts";
import type { CachePlan } from "../cache/cache_plan.ts";
import type { KvTypes } from "../cache/kv_cache.ts";
import { layScores, layScratch, type PolicyScratch } from "../cache/policy_space.ts";
import { layRotations } from "../cache/positions.ts";
import { layBooks } from "../cache/storage/books.ts";
import type { Hparams } from "../hparams.ts";
import { type Bytes, type Floats, type LayerCache, Layout, type Rotation } from "../memory/handles.ts";
import { laySurvivors, type SurvivorSpace } from "../sample/kernel_row.ts";
import { laySparse, type SparseSpace } from "./sparse_space.ts";
import type { Weights } from "./weights.ts";
import { layWorkspace, type Workspace } from "./workspace.ts";

/** What decides how much of each is needed. */
interface Sizes {
  readonly hparams: Hparams;
  readonly context: number;
  readonly chunk: number;
  readonly nSequences: number;
  readonly outputRows: number;
  readonly kvType: KvTypes;
  readonly caches: CachePlan;
  readonly weights: Weights;
}

/** What one sequence owns. */
export interface SequencePlan {
  readonly cache: readonly LayerCache[];
  /** Scores of the slots of each layer, where the policy has any. */
  readonly scores: readonly Floats[];
  /** `[outputRows, V]`. */
  readonly logits: Floats;
}

/** The place of each part. */
export interface ModelHandles {
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

/**
 * Lays out every region behind the vocabulary.
 *
 * @param at Where a region begins.
 */
export function layModel(
  { hparams, context, chunk, nSequences, outputRows, kvType, caches, weights }: Sizes,
  at: (region: string) => Layout,
): { readonly regions: Readonly<Record<string, Layout>>; readonly handles: ModelHandles } {
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
}
