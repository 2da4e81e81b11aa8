/**
 * A cache under a policy without a model around it: queries, keys and values go in, attention comes out, and every
 * score and slot can be looked at. It runs the same keeper and kernels as a model does.
 *
 * @module
 */
import { CacheKeeper } from "../../src/cache/cache_keeper.ts";
import { openCaches } from "../../src/cache/cache_layout.ts";
import type { KvStorage } from "../../src/cache/storage.ts";
import { ROPE_STYLE } from "../../src/kernels/kernels.ts";
import { attendWatched } from "../../src/model/forward.ts";
import { type Heads, layRig, type RigMemory, type RigOptions } from "./rig_memory.ts";
import { RigView } from "./rig_view.ts";

export type { Heads, RigOptions };

/** Makes a cache of one or more layers, which all see the same queries, keys and values unless told otherwise. */
export async function makeRig(options: RigOptions): Promise<Rig> {
  return new Rig(await layRig(options), options.inputs);
}

/** A cache at work. */
export class Rig extends RigView {
  readonly kernels = this.memory.kernels;
  readonly arena = this.memory.arena;
  readonly plan = this.memory.plan;
  readonly caches = this.memory.caches;
  readonly frequencies = this.memory.frequencies[0];
  /** Floats for whoever asked for them. */
  readonly room = this.memory.room;
  readonly keeper: CacheKeeper | null;
  readonly storage: KvStorage;
  /** What the latest tokens got in each layer, `[layer][token][head][dim]`. */
  readonly outputs: number[][][][] = [];
  position = 0;

  /** Use {@link makeRig}. */
  constructor(memory: RigMemory, private readonly inputs: RigOptions["inputs"]) {
    super(memory);
    const { plan, caches, scores, scratch, given } = memory;
    this.keeper = plan.policy === null ? null : new CacheKeeper(
      memory,
      caches,
      { ...plan, policy: plan.policy },
      { scores, scratch: scratch! },
      given,
    );
    this.storage = openCaches(plan, memory, caches);
    for (const cache of caches) this.kernels.cache.reset(cache);
    this.keeper?.reset();
    this.storage.reset?.();
  }

  /** Reads a prompt of n tokens; both callbacks may look around the reduction. Output of every token. */
  prompt(
    q: Heads,
    k: Heads,
    v: Heads,
    n: number,
    beforeReduce?: () => void,
    afterReduce?: () => void,
  ): number[][][] {
    const { keeper, storage, memory: { chunk } } = this;
    const out: number[][][] = [];
    keeper?.openPrompt(this.position, n);
    if (keeper !== null) storage.openPrompt?.(keeper.budgets);
    for (let start = 0; start < n; start += chunk) {
      const nTokens = Math.min(chunk, n - start);
      keeper?.openChunk(nTokens);
      out.push(...this.#pass(q, k, v, nTokens));
      beforeReduce?.();
      keeper?.closeChunk(this.position);
      storage.closeChunk?.(this.position, n - start - nTokens);
      afterReduce?.();
    }
    return out;
  }

  /** Reads the next token. Output `[head][dim]`. Layers are reduced one by one as in a model, unless somebody looks before. */
  step(q: Heads, k: Heads, v: Heads, beforeReduce?: () => void): number[][] {
    this.keeper?.openStep(this.position);
    this.storage.openStep?.();
    const [out] = this.#pass(q, k, v, 1, beforeReduce === undefined);
    beforeReduce?.();
    this.keeper?.closeStep(this.position);
    this.storage.closeStep?.(this.position);
    return out;
  }

  /** Forgets all from a position on. */
  truncate(position: number): void {
    for (const cache of this.caches) this.kernels.cache.truncate(cache, position);
    this.keeper?.truncated();
    this.storage.truncated?.(position);
    this.position = position;
  }

  /** Appends n tokens, attends; output `[token][head][dim]` of the last layer. */
  #pass(q: Heads, k: Heads, v: Heads, n: number, closes = false): number[][][] {
    const { arena, keeper, storage, memory: { workspace } } = this;
    const [positions, ids] = [arena.words(workspace.positions), arena.words(workspace.ids)];
    for (let t = 0; t < n; t++) positions[t] = ids[t] = this.position + t;
    for (let layer = 0; layer < this.caches.length; layer++) {
      this.#bring(this.inputs?.[layer] ?? { q, k, v }, n);
      keeper?.gather(layer, workspace.q, workspace.positions, n);
      this.#rotate(n);
      keeper?.echo(layer, workspace, n);
      storage.append(layer, workspace, n);
      attendWatched(workspace, layer, storage, n, keeper);
      if (closes) keeper?.closeLayer(layer);
      this.outputs[layer] = this.#attended(n);
    }
    this.position += n;
    return this.outputs.at(-1)!;
  }

  /** Puts the next n queries, keys and values where attention takes them from. */
  #bring(input: { readonly q: Heads; readonly k: Heads; readonly v: Heads }, n: number): void {
    const { workspace, hparams: { nHeads, nKvHeads, headDim } } = this.memory;
    for (const [part, count] of [["q", nHeads], ["k", nKvHeads], ["v", nKvHeads]] as const) {
      const view = this.arena.floats(workspace[part]);
      for (let t = 0; t < n; t++) {
        for (let h = 0; h < count; h++) {
          view.set(input[part][h][this.position + t], (t * count + h) * headDim);
        }
      }
    }
  }

  /** Queries and keys turn before they are stored, unless they do when they are read. */
  #rotate(n: number): void {
    const { workspace, hparams, frequencies, rotations } = this.memory;
    if (hparams.rope === undefined || rotations.length > 0) return;
    const { ropeTables: [table], positions, q, k } = workspace;
    const { nHeads, nKvHeads, headDim } = hparams;
    this.kernels.ropeTable(table, positions, frequencies[0], n, 1);
    this.kernels.rope(q, table, n, nHeads, headDim, headDim, ROPE_STYLE.adjacent);
    this.kernels.rope(k, table, n, nKvHeads, headDim, headDim, ROPE_STYLE.adjacent);
  }

  /** What attention has left, `[token][head][dim]`. */
  #attended(n: number): number[][][] {
    const { workspace, hparams: { nHeads, headDim } } = this.memory;
    const attended = this.arena.floats(workspace.attended);
    return Array.from({ length: n }, (_, t) =>
      Array.from({ length: nHeads }, (_, h) => {
        const start = (t * nHeads + h) * headDim;
        return [...attended.subarray(start, start + headDim)];
      }));
  }
}
