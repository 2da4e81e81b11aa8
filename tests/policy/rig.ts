/**
 * A cache under a policy without a model around it: queries, keys and values go in, attention comes out, and every
 * score and slot can be looked at. It runs the same keeper and kernels as a model does.
 *
 * @module
 */
import { CacheKeeper } from "../../src/cache/cache_keeper.ts";
import {
  type CacheOptions,
  layCaches,
  layScores,
  layScratch,
  openCaches,
  planCache,
} from "../../src/cache/cache_plan.ts";
import type { KvTypeName } from "../../src/cache/kv_cache.ts";
import type { Hparams } from "../../src/hparams.ts";
import type { GivenNoise } from "../../src/kernels/policy_kernels.ts";
import { type Binary, instantiateKernels } from "../../src/kernels/load.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { attendWatched } from "../../src/model/forward.ts";
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
  /** By head, position of query, position of key. */
  readonly noise?: readonly (readonly (readonly number[])[])[];
}

export type Rig = Awaited<ReturnType<typeof makeRig>>;

/** Makes a cache of one or more layers, which all see the same queries, keys and values. */
export async function makeRig(options: RigOptions) {
  const { nHeads, nKvHeads, headDim, context, nLayers = 1, kvType = "f32", chunk = context } = options;
  const hparams = {
    nLayers,
    dim: headDim * nHeads,
    nHeads,
    nKvHeads,
    headDim,
    valueDim: headDim,
    ffnDim: 32,
    positions: "none",
    gated: false,
    attentionScale: options.scale ?? 1 / Math.sqrt(headDim),
    attentionSoftcap: 0,
    windows: new Array(nLayers).fill(0),
  } as unknown as Hparams;
  const { policy, budget, prefill, positions, storage: stored, read } = options;
  const types = { k: kvType, v: kvType };
  const plan = planCache(
    hparams,
    types,
    { policy, budget, prefill, positions, storage: stored, read },
    chunk,
    context,
  );

  const lay = (layout: Layout) => ({
    caches: layCaches(plan, layout, layout),
    scores: layScores(plan, layout),
    scratch: layScratch(plan, hparams, layout),
    ws: layWorkspace(hparams, chunk, layout),
    slopes: options.slopes ? layout.floats(nHeads) : null,
    noise: layout.floats(options.noise ? nHeads * context * context : 0),
  });
  const sizes = new Layout(0);
  lay(sizes);
  const memory = placeRegions([{ name: "all", bytes: sizes.bytes }]);
  const kernels = await instantiateKernels(
    await kernelModule(options.binary ?? "simd128"),
    memory.totalBytes,
  );
  const arena = new Arena(kernels.buffer, memory);
  const { caches, scores, scratch, ws, slopes, noise } = lay(new Layout(regionOffset(memory, "all")));
  if (slopes) arena.floats(slopes).set(options.slopes!);
  const noiseView = arena.floats(noise);
  options.noise?.forEach((rows, h) =>
    rows.forEach((row, i) => noiseView.set(row, (h * context + i) * context))
  );
  const given: GivenNoise | null = options.noise ? { values: noise, stride: context } : null;

  const keeper = plan.policy === null ? null : new CacheKeeper(
    kernels,
    hparams,
    caches,
    { ...plan, policy: plan.policy },
    { scores, scratch: scratch! },
    given,
  );
  const storage = openCaches(plan, { kernels, hparams, slopes }, caches);
  for (const cache of caches) kernels.kvReset(cache);
  keeper?.reset();
  storage.reset?.();

  const [qs, ks, vs] = [ws.q, ws.k, ws.v].map((floats) => arena.floats(floats));
  const attended = arena.floats(ws.attended);
  const positionsView = arena.words(ws.positions);
  let position = 0;

  /** Appends tokens, attends; output `[token][head][dim]` of the last layer. */
  function pass(q: Heads, k: Heads, v: Heads, n: number): number[][][] {
    const fill = (view: Float32Array, heads: Heads, nHeads: number) => {
      for (let t = 0; t < n; t++) {
        for (let h = 0; h < nHeads; h++) view.set(heads[h][position + t], (t * nHeads + h) * headDim);
      }
    };
    fill(qs, q, nHeads);
    fill(ks, k, nKvHeads);
    fill(vs, v, nKvHeads);
    for (let t = 0; t < n; t++) positionsView[t] = position + t;
    for (let layer = 0; layer < caches.length; layer++) {
      storage.append(layer, ws, n);
      attendWatched(ws, layer, storage, n, keeper);
    }
    position += n;
    return Array.from({ length: n }, (_, t) =>
      Array.from({ length: nHeads }, (_, h) => {
        const start = (t * nHeads + h) * headDim;
        return [...attended.subarray(start, start + headDim)];
      }));
  }

  return {
    kernels,
    arena,
    plan,
    keeper,
    caches,
    get position() {
      return position;
    },

    /** Reads a prompt of n tokens; `beforeReduce` may look in between. Output of every token. */
    prompt(q: Heads, k: Heads, v: Heads, n: number, beforeReduce?: () => void): number[][][] {
      const out: number[][][] = [];
      keeper?.openPrompt(position, n);
      for (let start = 0; start < n; start += chunk) {
        const nTokens = Math.min(chunk, n - start);
        keeper?.openChunk(nTokens);
        out.push(...pass(q, k, v, nTokens));
        beforeReduce?.();
        keeper?.closeChunk(position);
        storage.closeChunk?.(position, n - position);
      }
      return out;
    },

    /** Reads the next token. Output `[head][dim]`. */
    step(q: Heads, k: Heads, v: Heads, beforeReduce?: () => void): number[][] {
      keeper?.openStep();
      const [out] = pass(q, k, v, 1);
      beforeReduce?.();
      keeper?.closeStep(position);
      storage.closeStep?.(position);
      return out;
    },

    /** Forgets all from a position on. */
    truncate(to: number): void {
      for (const cache of caches) kernels.kvTruncate(cache, to);
      keeper?.truncated();
      storage.truncated?.(to);
      position = to;
    },

    /** Slot of each position held, per KV head. */
    slots(layer = 0): Map<number, number>[] {
      const { slots, capacity } = caches[layer];
      const words = arena.words({ kind: "u32", offset: slots.offset, length: slots.length / 4 });
      return Array.from({ length: nKvHeads }, (_, head) => {
        const held = words.subarray(head * (4 + capacity) + 4, (head + 1) * (4 + capacity));
        return new Map(
          [...held].map((position, slot) => [position, slot] as const).filter(([p]) => p !== 2 ** 32 - 1),
        );
      });
    },

    /** Positions held, ascending, per KV head. */
    kept(layer = 0): number[][] {
      return this.slots(layer).map((slots) => [...slots.keys()].sort((a, b) => a - b));
    },

    /** Scores of one row by position, in order of position. */
    scores(row: number, layer = 0): number[] {
      const view = arena.floats(scores[layer]);
      const { capacity } = caches[layer];
      const rows = view.length / capacity;
      const slots = this.slots(layer)[Math.floor(row * nKvHeads / rows)];
      return [...slots].sort(([a], [b]) => a - b).map(([, slot]) => view[row * capacity + slot]);
    },

    /** Scratch scores of a KV head, by slot. */
    scratch(head: number, n: number): number[] {
      return [...arena.floats(scratch!).subarray(head * caches[0].capacity, head * caches[0].capacity + n)];
    },

    brokenGuards: () => arena.brokenGuards(),
  };
}
