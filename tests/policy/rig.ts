/**
 * A cache under a policy without a model around it: queries, keys and values go in, attention comes out, and every
 * score and slot can be looked at. It runs the same keeper and kernels as a model does.
 *
 * @module
 */
import { CacheKeeper } from "../../src/cache/cache_keeper.ts";
import { type CacheOptions, layCaches, openCaches, planCache } from "../../src/cache/cache_plan.ts";
import type { KvTypeName } from "../../src/cache/kv_cache.ts";
import { layScores, layScratch } from "../../src/cache/policy_space.ts";
import { layRotations, writeRotations } from "../../src/cache/positions.ts";
import { layBooks, writeBooks } from "../../src/cache/storage/books.ts";
import type { Hparams } from "../../src/hparams.ts";
import type { GivenNoise } from "../../src/kernels/policy_kernels.ts";
import { ROPE_STYLE } from "../../src/kernels/kernels.ts";
import { type Binary, instantiateKernels } from "../../src/kernels/load.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { attendWatched } from "../../src/model/forward.ts";
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

export type Rig = Awaited<ReturnType<typeof makeRig>>;

/** Makes a cache of one or more layers, which all see the same queries, keys and values unless told otherwise. */
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
    positions: options.ropeBase !== undefined ? "rope" : options.slopes ? "alibi" : "none",
    rope: options.ropeBase && {
      style: "adjacent",
      dims: headDim,
      base: options.ropeBase,
      scaling: { kind: "none" },
      magnitude: 1,
    },
    gated: false,
    attentionScale: options.scale ?? 1 / Math.sqrt(headDim),
    attentionSoftcap: 0,
    windows: new Array(nLayers).fill(0),
  } as unknown as Hparams;
  const { policy, budget, prefill, positions, storage: stored, read, budgetRule, victims, calibration } =
    options;
  const types = { k: kvType, v: kvType };
  const plan = planCache(
    hparams,
    types,
    { policy, budget, prefill, positions, storage: stored, read, budgetRule, victims, calibration },
    chunk,
    context,
  );

  const lay = (
    layout: Layout,
    rotations = layRotations(plan, hparams, context, layout),
    books = layBooks(plan, layout),
  ) => ({
    rotations,
    books,
    caches: layCaches(plan, layout, layout, rotations, books),
    scores: layScores(plan, layout),
    scratch: layScratch(plan, hparams, layout),
    ws: layWorkspace(hparams, chunk, layout),
    slopes: options.slopes ? layout.floats(nHeads) : null,
    frequencies: hparams.rope ? [layout.floats(headDim / 2)] : [],
    noise: layout.floats(options.noise ? nHeads * context * context : 0),
    classes: layout.block(context),
    room: layout.floats(options.room ?? 0),
  });
  const sizes = new Layout(0);
  lay(sizes);
  const memory = placeRegions([{ name: "all", bytes: sizes.bytes }]);
  const kernels = await instantiateKernels(
    await kernelModule(options.binary ?? "simd128"),
    memory.totalBytes,
  );
  const arena = new Arena(kernels.buffer, memory);
  const { rotations, books, caches, scores, scratch, ws, slopes, frequencies, noise, classes, room } = lay(
    new Layout(regionOffset(memory, "all")),
  );
  if (slopes) arena.floats(slopes).set(options.slopes!);
  if (hparams.rope) arena.floats(frequencies[0]).set(ropeFrequencies(hparams.rope));
  writeRotations(kernels, hparams, rotations, frequencies, ws.positions);
  writeBooks(plan, books, arena);
  for (const position of options.classes ?? []) arena.bytes[classes.offset + position] = 1;
  const noiseView = arena.floats(noise);
  options.noise?.forEach((rows, h) =>
    rows.forEach((row, i) => noiseView.set(row, (h * context + i) * context))
  );
  const given: GivenNoise | null = options.noise ? { values: noise, stride: context } : null;

  const keeper = plan.policy === null ? null : new CacheKeeper(
    { kernels, hparams, slopes, frequencies, classes },
    caches,
    { ...plan, policy: plan.policy },
    { scores, scratch: scratch! },
    given,
  );
  const storage = openCaches(plan, { kernels, hparams, slopes, classes }, caches);
  for (const cache of caches) kernels.kvReset(cache);
  keeper?.reset();
  storage.reset?.();

  const [qs, ks, vs] = [ws.q, ws.k, ws.v].map((floats) => arena.floats(floats));
  const attended = arena.floats(ws.attended);
  const [positionsView, idsView] = [arena.words(ws.positions), arena.words(ws.ids)];
  const outputs: number[][][][] = [];
  let position = 0;

  /** Appends tokens, attends; output `[token][head][dim]` of the last layer. */
  function pass(q: Heads, k: Heads, v: Heads, n: number): number[][][] {
    const fill = (view: Float32Array, heads: Heads, nHeads: number) => {
      for (let t = 0; t < n; t++) {
        for (let h = 0; h < nHeads; h++) view.set(heads[h][position + t], (t * nHeads + h) * headDim);
      }
    };
    for (let t = 0; t < n; t++) [positionsView[t], idsView[t]] = [position + t, position + t];
    for (let layer = 0; layer < caches.length; layer++) {
      const input = options.inputs?.[layer] ?? { q, k, v };
      fill(qs, input.q, nHeads);
      fill(ks, input.k, nKvHeads);
      fill(vs, input.v, nKvHeads);
      keeper?.gather(layer, ws.q, ws.positions, n);
      if (hparams.rope && rotations.length === 0) {
        kernels.ropeTable(ws.ropeTables[0], ws.positions, frequencies[0], n, 1);
        kernels.rope(ws.q, ws.ropeTables[0], n, nHeads, headDim, headDim, ROPE_STYLE.adjacent);
        kernels.rope(ws.k, ws.ropeTables[0], n, nKvHeads, headDim, headDim, ROPE_STYLE.adjacent);
      }
      keeper?.echo(layer, ws, n);
      storage.append(layer, ws, n);
      attendWatched(ws, layer, storage, n, keeper);
      outputs[layer] = heads(n);
    }
    position += n;
    return outputs.at(-1)!;
  }

  /** What attention has left, `[token][head][dim]`. */
  function heads(n: number): number[][][] {
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
    storage,
    caches,
    frequencies: frequencies[0],
    /** What the latest tokens got in each layer, `[layer][token][head][dim]`. */
    outputs,
    /** Floats for whoever asked for them. */
    room,
    get position() {
      return position;
    },

    /** Reads a prompt of n tokens; both callbacks may look around the reduction. Output of every token. */
    prompt(
      q: Heads,
      k: Heads,
      v: Heads,
      n: number,
      beforeReduce?: () => void,
      afterReduce?: () => void,
    ): number[][][] {
      const out: number[][][] = [];
      keeper?.openPrompt(position, n);
      if (keeper !== null) storage.openPrompt?.(keeper.budgets);
      for (let start = 0; start < n; start += chunk) {
        const nTokens = Math.min(chunk, n - start);
        keeper?.openChunk(nTokens);
        out.push(...pass(q, k, v, nTokens));
        beforeReduce?.();
        keeper?.closeChunk(position);
        storage.closeChunk?.(position, n - start - nTokens);
        afterReduce?.();
      }
      return out;
    },

    /** Reads the next token. Output `[head][dim]`. */
    step(q: Heads, k: Heads, v: Heads, beforeReduce?: () => void): number[][] {
      keeper?.openStep(position);
      storage.openStep?.();
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

    /** Biases of a KV head in order of position; zeros where the policy has none. */
    biases(head: number, layer = 0): number[] {
      const { bias, capacity } = caches[layer];
      const slots = [...this.slots(layer)[head]].sort(([a], [b]) => a - b);
      return slots.map(([, slot]) => bias === undefined ? 0 : arena.floats(bias)[head * capacity + slot]);
    },

    /** Keys and values of a KV head as stored in f32, in order of position. */
    stored(head: number, layer = 0): { k: number[][]; v: number[][] } {
      const { keys, values, capacity } = caches[layer];
      const [ks, vs] = [keys, values].map(({ offset, length }) =>
        arena.floats({ kind: "f32", offset, length: length / 4 }).subarray(
          head * capacity * headDim,
          (head + 1) * capacity * headDim,
        )
      );
      const slots = [...this.slots(layer)[head]].sort(([a], [b]) => a - b).map(([, slot]) => slot);
      const dims = [...Array(headDim).keys()];
      return {
        // Four keys lie side by side.
        k: slots.map((s) => dims.map((i) => ks[(s >> 2) * 4 * headDim + 4 * i + s % 4])),
        v: slots.map((s) => [...vs.subarray(s * headDim, (s + 1) * headDim)]),
      };
    },

    /** Where the scores of a layer lie. */
    scoresPlace: (layer = 0) => ({ offset: scores[layer].offset, length: scores[layer].length }),

    /** Scratch scores of a KV head, by slot. */
    scratch(head: number, n: number): number[] {
      return [
        ...arena.floats(scratch!.logits).subarray(head * caches[0].capacity, head * caches[0].capacity + n),
      ];
    },

    brokenGuards: () => arena.brokenGuards(),
  };
}
