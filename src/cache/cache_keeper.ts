/**
 * Runs a policy over a sequence's life: which rows it sees, when it reduces, and how long that takes.
 *
 * @module
 */
import { EMPTY, type HeadSlots, headSlots } from "../kernels/head_slots.ts";
import type { GivenNoise } from "../kernels/policy_kernels.ts";
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { budgetAt, type CachePlan, layerBudgets } from "./cache_plan.ts";
import type { PolicyRules } from "./layer_scores.ts";
import { LayerView } from "./layer_view.ts";
import type { Policy } from "./policy.ts";
import type { PolicySpace } from "./policy_space.ts";
import type { AttentionDesk } from "./storage.ts";

/** Who wants to see rows of attention weights. */
export interface Watcher {
  /** Rows of the current call from this one on are wanted. */
  readonly firstRow: number;
  /** How many at once. */
  readonly tile: number;
  /** Where they are to be left, `[H, tile, capacity]`. */
  readonly scratch: Floats;
  /** Sees the tokens that a layer has just stored. */
  appended(layer: number, ids: Words, positions: Words, nTokens: number): void;
  /** Sees the queries `[T, H, d]` of `nTokens` tokens before they are rotated. */
  gather(layer: number, queries: Floats, positions: Words, nTokens: number): void;
  /** Sees the rotated queries and keys of `nTokens` tokens before they are stored. */
  echo(layer: number, desk: AttentionDesk, nTokens: number): void;
  /** Takes `nTokens` rows of weights, of the tokens at `positions` from `first` on. */
  observe(layer: number, positions: Words, first: number, nTokens: number): void;
  /** A layer has stored and read all tokens of a call. */
  closeLayer(layer: number): void;
}

/** What one KV head holds, in order of position. */
export interface HeldTokens {
  readonly positions: readonly number[];
  /** Score of each; none where the policy has none per KV head or layer. */
  readonly scores: readonly number[];
}

/** What a keeper knows beside slots and scores. */
export interface KeeperState {
  /** Tokens since the latest prompt. */
  readonly step: number;
  readonly peak: number;
  /** Slots per KV head of each layer. */
  readonly budgets: readonly number[];
}

/** Keeps one sequence's cache within its budget. */
export class CacheKeeper implements Watcher {
  readonly policy: Policy;
  readonly scratch: Floats;
  readonly tile: number;
  readonly #plan: CachePlan;
  readonly #view: LayerView;
  readonly #slots: readonly (readonly HeadSlots[])[];
  readonly #caches: readonly LayerCache[];
  readonly #scores: readonly Floats[];
  /** Slots that a KV head of each layer may keep at most. */
  readonly #most: readonly number[];
  #budgets: readonly number[];
  #firstRow = 0;
  /** Tokens of the prompt that come after the current chunk. */
  #ahead = 0;
  /** Position behind the current chunk. */
  #chunkEnd = 0;
  #peak = 0;
  /** What is free, counted once after each change and down with every token. */
  #free: number | undefined;
  #ms = 0;
  /** Whether the policy acts on the token that goes through the layers, and whether it does in each layer at once. */
  #acts = false;
  #atOnce = false;
  /** Position behind that token. */
  #stepEnd = 0;
  /** Layers that are reduced already. */
  #nReduced = 0;

  /** @param given Noise to use in place of drawn one. */
  constructor(
    rules: PolicyRules,
    caches: readonly LayerCache[],
    plan: CachePlan & { readonly policy: Policy },
    space: PolicySpace,
    given: GivenNoise | null = null,
  ) {
    this.policy = plan.policy;
    this.scratch = space.scratch.logits;
    this.tile = plan.tile;
    this.#plan = plan;
    this.#caches = caches;
    this.#scores = space.scores;
    this.#view = new LayerView(rules, plan.policy, plan.budgetRule, caches, space, given);
    this.#slots = caches.map((cache) =>
      Array.from({ length: cache.nKvHeads }, (_, head) => headSlots(rules.kernels.buffer, cache, head))
    );
    this.#most = plan.mostSlots.map((slots) => Math.floor(slots * (plan.budgetRule?.most ?? 1)));
    this.#budgets = plan.mostSlots;
  }

  /** Slots per KV head that each layer may keep now. */
  get budgets(): readonly number[] {
    return this.#budgets;
  }

  get firstRow(): number {
    return this.#firstRow;
  }

  /** Milliseconds spent on scores and on choosing. */
  get ms(): number {
    return this.#ms;
  }

  /** Most slots that a KV head has held at once. */
  get peak(): number {
    return Math.max(this.#peak, ...this.used().flat());
  }

  /** Slots that hold a token, by layer and KV head. */
  used(): number[][] {
    return this.#slots.map((heads) => heads.map(({ header }) => header[0] - header[1]));
  }

  /** A copy of what is held, by layer and KV head; for looking at, not for every token. */
  contents(): HeldTokens[][] {
    return this.#caches.map(({ nKvHeads, capacity }, layer) => {
      const handle = this.#scores[layer];
      const rows = handle === undefined ? 0 : handle.length / capacity;
      const scores = rows === 1 || rows === nKvHeads
        ? new Float32Array(this.#slots[layer][0].header.buffer, handle.offset, handle.length)
        : undefined;
      return this.#slots[layer].map(({ positions: slots }, head) => {
        const held = [...slots.keys()].filter((slot) => slots[slot] !== EMPTY)
          .sort((a, b) => slots[a] - slots[b]);
        const row = rows === 1 ? 0 : head;
        return {
          positions: held.map((slot) => slots[slot]),
          scores: scores === undefined ? [] : held.map((slot) => scores[row * capacity + slot]),
        };
      });
    });
  }

  /** Slots that every KV head has free at least; only policies that don't act in steps may run out of them. */
  get free(): number {
    if (this.policy.steps) return Infinity;
    return this.#free ??= Math.min(
      ...this.used().map((heads, layer) => this.#caches[layer].capacity - Math.max(...heads)),
    );
  }

  /** A prompt of `nTokens` starts behind `position` tokens. */
  openPrompt(position: number, nTokens: number): void {
    this.#budgets = this.#budgetsAt(position + nTokens);
    this.#ahead = nTokens;
    this.#view.step = 0;
    this.#view.span = [position, position + nTokens];
    this.#chunkEnd = position;
  }

  /** Budgets of the layers once text and prompt have so many tokens. */
  #budgetsAt(nTokens: number): number[] {
    const slots = budgetAt(this.#plan, nTokens);
    return layerBudgets(this.policy, slots, this.#caches.length, nTokens)
      .map((wanted, layer) => Math.min(this.#plan.mostSlots[layer], Math.max(wanted, this.policy.minBudget)));
  }

  /** The next `nTokens` of the prompt go through the layers. */
  openChunk(nTokens: number): void {
    this.#ahead -= nTokens;
    this.#view.passTokens = nTokens;
    if (this.#plan.prefill !== "whole") {
      this.#view.span = [this.#chunkEnd, this.#chunkEnd + nTokens];
      this.#chunkEnd += nTokens;
    }
    const { promptRows } = this.policy;
    const after = this.#plan.prefill === "whole" ? this.#ahead : 0;
    if (promptRows === "none" || this.policy.observe === undefined) this.#firstRow = nTokens;
    else if (promptRows === "all") this.#firstRow = 0;
    else this.#firstRow = Math.min(nTokens, Math.max(0, nTokens + after - promptRows));
  }

  /** They have; `position` tokens are read now. */
  closeChunk(position: number): void {
    this.#free = undefined;
    if (this.#plan.prefill === "whole" && this.#ahead > 0) return;
    this.#peak = this.peak;
    this.#reduce(position);
    for (let layer = 0; layer < this.#caches.length; layer++) this.#view.turn(layer, 0).compact();
  }

  /** The prompt has been read sparsely: the caches hold what stays. */
  closeSparse(): void {
    this.#free = undefined;
    this.#peak = this.peak;
  }

  /** One token of the running text, at `position`, goes through the layers. */
  openStep(position: number): void {
    const step = ++this.#view.step;
    this.#view.passTokens = 1;
    const { policy } = this;
    const acts = policy.steps && step % (policy.every ?? 1) === 0;
    const looks = policy.observe !== undefined && policy.stepRows !== false;
    this.#firstRow = acts && looks ? 0 : 1;
    this.#acts = acts;
    // What layers share, and budgets that grow, want all layers to be done.
    this.#atOnce = acts && !policy.shared && !policy.grows;
    this.#stepEnd = position + 1;
    this.#nReduced = 0;
  }

  /** Reduces it now if that can be: slots and scores still are in the processor's caches. */
  closeLayer(layer: number): void {
    if (!this.#atOnce) return;
    this.#reduce(this.#stepEnd, layer, layer + 1);
    this.#nReduced = layer + 1;
  }

  /** The token has passed; `position` tokens are read now. */
  closeStep(position: number): void {
    this.#atOnce = false;
    if (this.#free !== undefined) this.#free--;
    if (this.#acts) this.#reduce(position, this.#nReduced);
  }

  gather(layer: number, queries: Floats, positions: Words, nTokens: number): void {
    if (this.policy.queries === undefined || this.#view.step > 0) return;
    const start = performance.now();
    this.#view.gather(layer, queries, positions, nTokens);
    this.#ms += performance.now() - start;
  }

  echo(layer: number, desk: AttentionDesk, nTokens: number): void {
    if (this.policy.echo === undefined || this.#view.step > 0) return;
    const start = performance.now();
    this.#view.echo(layer, desk, nTokens);
    this.#ms += performance.now() - start;
  }

  appended(layer: number, ids: Words, positions: Words, nTokens: number): void {
    const { classes, scores } = this.policy;
    if (classes !== undefined && scores !== "none") this.#view.mark(layer, ids, positions, nTokens);
  }

  observe(layer: number, positions: Words, first: number, nTokens: number): void {
    const start = performance.now();
    this.policy.observe!(this.#view.show(layer, { positions, first }, nTokens));
    this.#ms += performance.now() - start;
  }

  /** Slots at later positions have been emptied. */
  truncated(): void {
    this.#free = undefined;
    for (let layer = 0; layer < this.#caches.length; layer++) this.#view.turn(layer, 0).clearEmpty();
  }

  /** All slots have been emptied. */
  reset(): void {
    this.#free = undefined;
    for (let layer = 0; layer < this.#caches.length; layer++) this.#view.turn(layer, 0).reset();
    this.#view.step = 0;
    this.#budgets = this.#plan.mostSlots;
    this.#peak = 0;
    this.#ms = 0;
  }

  /** What a snapshot has to hold of it. */
  state(): KeeperState {
    return { step: this.#view.step, peak: this.peak, budgets: this.#budgets };
  }

  /** Goes on from a state that this plan allows; slots and scores are in place. */
  resume({ step, peak, budgets }: KeeperState): void {
    this.#free = undefined;
    this.#view.step = step;
    this.#peak = peak;
    this.#budgets = budgets;
  }

  /** Reduces layers from `first` on, up to `end`. */
  #reduce(position: number, first = 0, end = this.#caches.length): void {
    const start = performance.now();
    const { policy } = this;
    this.#view.position = position;
    const atPrompt = policy.grows ? this.#budgetsAt(position - this.#view.step) : this.#budgets;
    if (policy.grows) this.#budgets = this.#budgetsAt(position);
    for (let layer = first; layer < end; layer++) {
      policy.reduce(this.#view.turn(layer, this.#budgets[layer], atPrompt[layer], this.#most[layer]));
    }
    this.#ms += performance.now() - start;
  }
}
