/**
 * A cache and what lies around it in memory, as a plan has it, without a model.
 *
 * @module
 */
import { layCaches } from "../../src/cache/cache_layout.ts";
import { type CacheOptions, type CachePlan, planCache } from "../../src/cache/cache_plan.ts";
import type { KvTypeName } from "../../src/cache/kv_cache.ts";
import { layScores, layScratch } from "../../src/cache/policy_space.ts";
import { layRotations, writeRotations } from "../../src/cache/positions.ts";
import { layBooks, writeBooks } from "../../src/cache/storage/books.ts";
import type { Hparams } from "../../src/hparams.ts";
import type { GivenNoise } from "../../src/kernels/policy_kernels.ts";
import { type Binary, instantiateKernels } from "../../src/kernels/load.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { ropeFrequencies } from "../../src/model/rope.ts";
import { layWorkspace } from "../../src/model/workspace.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";

/** `[head][position][dim]`. */
export type Heads = readonly (readonly (readonly number[])[])[];

export interface RigOptions extends CacheOptions {
  readonly binary?: Binary;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  /** Positions at most. */
  readonly context: number;
  /** Default: all of a prompt at once. */
  readonly chunk?: number;
  readonly nLayers?: number;
  readonly kvType?: KvTypeName;
  /** Default: 1 / sqrt(headDim). */
  readonly scale?: number;
  readonly slopes?: readonly number[];
  /** Queries and keys are given unrotated; neighbours turn. */
  readonly ropeBase?: number;
  /** Of each layer, where they differ. */
  readonly inputs?: readonly { readonly q: Heads; readonly k: Heads; readonly v: Heads }[];
  /** Positions whose tokens are of the class that a policy asks for. */
  readonly classes?: readonly number[];
  /** Floats beside all others. */
  readonly room?: number;
  /** By head, position of query, position of key. */
  readonly noise?: readonly (readonly (readonly number[])[])[];
}

/** Where everything lies. */
export type RigMemory = Awaited<ReturnType<typeof layRig>>;

/** Lays it out and fills its tables. */
export async function layRig(options: RigOptions) {
  const { context, chunk = context, kvType = "f32" } = options;
  const hparams = shapeOf(options);
  const plan = planCache(hparams, { k: kvType, v: kvType }, options, chunk, context);
  const sizes = new Layout(0);
  layParts(options, hparams, plan, sizes);
  const memory = placeRegions([{ name: "all", bytes: sizes.bytes }]);
  const module = await kernelModule(options.binary ?? "simd128");
  const kernels = await instantiateKernels(module, memory.totalBytes);
  const arena = new Arena(kernels.buffer, memory);
  const parts = layParts(options, hparams, plan, new Layout(regionOffset(memory, "all")));
  const { slopes, frequencies, rotations, books, workspace, classes, noise } = parts;
  if (slopes) arena.floats(slopes).set(options.slopes!);
  if (hparams.rope) arena.floats(frequencies[0]).set(ropeFrequencies(hparams.rope));
  writeRotations(kernels, hparams, rotations, frequencies, workspace.positions);
  writeBooks(plan, books, arena);
  for (const position of options.classes ?? []) arena.bytes[classes.offset + position] = 1;
  const values = arena.floats(noise);
  options.noise?.forEach((rows, head) =>
    rows.forEach((row, i) => values.set(row, (head * context + i) * context))
  );
  const given: GivenNoise | null = options.noise ? { values: noise, stride: context } : null;
  return { kernels, hparams, arena, plan, chunk, given, ...parts };
}

function shapeOf({ nHeads, nKvHeads, headDim, context, nLayers = 1, ...options }: RigOptions): Hparams {
  return {
    architecture: "none",
    nLayers,
    dim: headDim * nHeads,
    nHeads,
    nKvHeads,
    headDim,
    valueDim: headDim,
    ffnDim: 32,
    nVocab: context,
    nContext: context,
    norm: { kind: "rms", eps: 0 },
    positions: options.ropeBase !== undefined ? "rope" : options.slopes ? "alibi" : "none",
    ...(options.ropeBase !== undefined && {
      rope: {
        style: "adjacent",
        dims: headDim,
        base: options.ropeBase,
        scaling: { kind: "none" },
        magnitude: 1,
      },
    }),
    alibiMaxBias: 0,
    attentionScale: options.scale ?? 1 / Math.sqrt(headDim),
    attentionSoftcap: 0,
    windows: new Array(nLayers).fill(0),
    clampQkv: 0,
    activation: "silu",
    gated: false,
    residual: "sequential",
    embeddingScale: 1,
    logitScale: 1,
    finalSoftcap: 0,
  };
}

function layParts(options: RigOptions, hparams: Hparams, plan: CachePlan, layout: Layout) {
  const { nHeads, headDim, context, chunk = context } = options;
  const rotations = layRotations(plan, hparams, context, layout);
  const books = layBooks(plan, layout);
  return {
    rotations,
    books,
    caches: layCaches(plan, layout, layout, rotations, books),
    scores: layScores(plan, layout),
    scratch: layScratch(plan, hparams, layout),
    workspace: layWorkspace(hparams, chunk, layout),
    slopes: options.slopes ? layout.floats(nHeads) : null,
    frequencies: hparams.rope ? [layout.floats(headDim / 2)] : [],
    noise: layout.floats(options.noise ? nHeads * context * context : 0),
    classes: layout.block(context),
    room: layout.floats(options.room ?? 0),
  };
}
