/**
 * A layer as a policy sees it: the operations of `policy.ts`, on the kernels.
 *
 * @module
 */
import type { CascadeForm } from "../kernels/cascade_kernels.ts";
import { ROPE_STYLE } from "../kernels/kernels.ts";
import type { GivenNoise, ObserveOptions } from "../kernels/policy_kernels.ts";
import type { MeanTurn } from "../kernels/stored_kernels.ts";
import type { Probes } from "../kernels/mass_kernels.ts";
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import type { BudgetRule, Choice } from "./budget_rule.ts";
import type {
  Cut,
  Geometry,
  Keep,
  KeepMarked,
  ObservedLayer,
  Policy,
  ProbeRows,
  ReducedLayer,
} from "./policy.ts";
import type { PolicySpace } from "./policy_space.ts";
import type { AttentionDesk, AttentionRules } from "./storage.ts";

/** Rows of attention that wait in the scratch. */
export interface Rows {
  readonly positions: Words;
  /** The first of them among the positions. */
  readonly first: number;
}

/** What of a model policies depend on. */
export interface PolicyRules extends AttentionRules {
  /** Rotary frequencies of the model's one or two ropes. */
  readonly frequencies: readonly Floats[];
}

/** One for a sequence, turned to layer after layer. */
export class LayerView implements ObservedLayer, ReducedLayer, Choice {
  layer = 0;
  step = 0;
  nTokens = 0;
  /** Tokens that pass the layers at once, of which these are some. */
  passTokens = 0;
  /** Positions between two reductions: from the first, up to the second. */
  span: readonly [number, number] = [0, 0];
  budget = 0;
  promptBudget = 0;
  /** Position of the token that comes next. */
  position = 0;
  /** Slots that a KV head may keep at most. */
  most = 0;
  sinks = 0;
  recent = 0;
  /** Scores that the current choice goes by. */
  #ranking: Floats | null = null;
  #rows: Rows | undefined;
  readonly #shared: boolean;

  constructor(
    private readonly rules: PolicyRules,
    private readonly policy: Policy,
    private readonly budgetRule: BudgetRule | null,
    private readonly caches: readonly LayerCache[],
    private readonly space: PolicySpace,
    private readonly given: GivenNoise | null,
  ) {
    this.#shared = policy.shared ?? false;
  }

  get nLayers(): number {
    return this.caches.length;
  }

  get nHeads(): number {
    return this.rules.hparams.nHeads;
  }

  get nKvHeads(): number {
    return this.rules.hparams.nKvHeads;
  }

  /** Turns to the next `nTokens` rows of a layer. */
  show(layer: number, rows: Rows, nTokens: number): this {
    this.layer = layer;
    this.#rows = rows;
    this.nTokens = nTokens;
    return this;
  }

  /** Turns to a layer to be reduced; `most` slots of a head may be held at most. */
  turn(layer: number, budget: number, promptBudget = budget, most = budget): this {
    this.layer = layer;
    this.budget = budget;
    this.promptBudget = promptBudget;
    this.most = Math.min(most, Math.floor(budget * (this.budgetRule?.most ?? 1)));
    return this;
  }

  /** Counts queries of a layer that are not rotated yet. */
  gather(layer: number, q: Floats, positions: Words, n: number): void {
    const { queries, keyDim } = this.caches[layer];
    this.rules.kernels.stored.gather(queries!, q, positions, n, this.nHeads, keyDim, this.policy.queries!);
  }

  add(options: Partial<ObserveOptions> = {}): void {
    this.#observe(this.space.scores[this.layer], options);
  }

  #observe(scores: Floats, options: Partial<ObserveOptions>): void {
    const { positions, first } = this.#rows!;
    this.rules.kernels.policy.observe(
      scores,
      this.space.scratch.logits,
      this.#cache,
      positions,
      first,
      this.nTokens,
      this.nHeads,
      this.layer,
      options,
      this.given,
    );
  }

  average({ beta, sinks }: { beta: number; sinks: number }): void {
    const { rules: { kernels }, space: { scratch, scores } } = this;
    const { first } = this.#rows!;
    this.#observe(scratch.gathered!, { decay: beta });
    if (first + this.nTokens < this.passTokens) return;
    const kept = beta ** this.passTokens;
    kernels.cascade.average(
      scores[this.layer],
      scratch.gathered!,
      this.#cache,
      this.nHeads,
      sinks,
      kept,
      1 - beta,
    );
  }

  probe(rows: ProbeRows): void {
    const { positions, first } = this.#rows!;
    this.rules.kernels.mass.observe(
      this.space.scores[this.layer],
      this.space.scratch.logits,
      this.#cache,
      positions,
      first,
      this.nTokens,
      this.nHeads,
      this.#probes(rows),
    );
  }

  keepProbed(rows: ProbeRows, tau: number): void {
    const { space: { scores }, rules: { kernels }, position, budget } = this;
    const demotes = this.policy.victims === "demote";
    const first = demotes ? this.#coded : 0;
    const among = { tau, first, held: this.step === 0 };
    const n = kernels.mass.count(scores[this.layer], this.#cache, this.#probes(rows), among);
    if (!demotes) return this.keep({ budget: Math.min(n, budget), recent: 1 });
    // Each time as large a share as the budget is of the whole text.
    const share = Math.ceil(budget * (position - first) / position - 1e-9);
    this.#demote(first, Math.min(n, share), among.held ? 1 : 0);
  }

  /** The best `n` of the tokens that wait to be coded, which `first` others precede, and the `recent` latest matter. */
  #demote(first: number, n: number, recent: number): void {
    const { rules: { kernels }, space: { scratch, scores } } = this;
    const cache = this.#cache;
    const { offset, length } = scratch.before!;
    const kept: LayerCache = { ...cache, slots: { kind: "bytes", offset, length: 4 * length } };
    kernels.stored.mark(scratch.before!, cache);
    kernels.policy.select(kept, scores[this.layer], 1, first + n, first, this.position - recent, false);
    kernels.codec.choose(cache, kept.slots);
  }

  /** Tokens that are coded already. */
  get #coded(): number {
    return new Uint32Array(this.rules.kernels.buffer, this.#cache.codec!.offset, 2)[1];
  }

  #probes({ recent, random, seed }: ProbeRows): Probes {
    // The row of a token of the running text.
    if (this.step > 0) return { start: this.position - 1, end: this.position, from: 0, share: 0, seed };
    const [start, end] = this.span;
    const from = Math.max(start, end - recent);
    return { start, end, from, share: from > start ? random / (from - start) : 0, seed };
  }

  cascade(form: CascadeForm): void {
    this.rules.kernels.cascade.insert(this.#cache, this.space.scores[this.layer], form);
  }

  keep({ budget, sinks = 0, recent = 0, by = "scores" }: Keep): void {
    const { space: { scratch, scores }, policy: { victims = "drop" }, rules: { kernels } } = this;
    const cache = this.#cache;
    this.#ranking = by === "scores" ? scores[this.layer] : by === "scratch" ? scratch.logits : null;
    [this.budget, this.sinks, this.recent] = [budget, sinks, recent];

    // Scores that all layers share are read by the later ones too.
    const clear = by === "scores" && (!this.#shared || this.layer === this.nLayers - 1);
    if (this.budgetRule === null && victims === "drop") return this.#select(clear);
    if (victims !== "drop") kernels.stored.mark(scratch.before!, cache);
    if (this.budgetRule === null) this.select();
    else this.budgetRule.choose(this);
    if (victims !== "drop") {
      const weights = victims === "mass_fold" ? this.#ranking : null;
      kernels.stored.join(scratch.before!, cache, weights, sinks, this.#last);
    }
    if (clear) this.clearEmpty();
    else this.#clearBias();
  }

  select(): void {
    this.#select(false);
  }

  #select(clear: boolean): void {
    const { kernels } = this.rules;
    kernels.policy.select(
      this.#cache,
      this.#ranking,
      this.#rankingRows,
      this.budget,
      this.sinks,
      this.#last,
      clear,
    );
  }

  spread(total: number, least: number): void {
    const { most, sinks } = this;
    this.rules.kernels.policy.spread(this.#cache, this.#ranking!, total, least, most, sinks, this.#last);
  }

  cutBelow(least: number): void {
    const { kernels } = this.rules;
    kernels.policy.cut(this.#cache, this.#ranking!, this.#rankingRows, this.sinks, this.#last, least);
  }

  cutShare(tau: number): void {
    this.rules.kernels.policy.cutShare(this.#cache, this.#ranking!, this.sinks, this.#last, tau);
  }

  cut({ below, sinks = 0, recent = 0 }: Cut): void {
    this.#ranking = this.space.scores[this.layer];
    [this.sinks, this.recent] = [sinks, recent];
    this.cutBelow(below);
    this.clearEmpty();
  }

  pool({ width, max = false, recent }: { width: number; max?: boolean; recent: number }): void {
    const end = Math.max(0, this.position - recent);
    const { scratch, scores } = this.space;
    this.rules.kernels.policy.pool(scratch.logits, scores[this.layer], this.#cache, width, max, end);
  }

  randomise(seed: number): void {
    this.rules.kernels.policy.randomise(this.space.scratch.logits, this.#cache, seed, this.layer);
  }

  measure(kind: Geometry): void {
    this.rules.kernels.stored.geometry(this.space.scratch.logits, this.#cache, kind);
  }

  expect({ future, epsilon, sinks }: { future: number; epsilon: number; sinks: number }): void {
    const { kernels, hparams, slopes } = this.rules;
    const { logits, room } = this.space.scratch;
    const turn = this.#turn(this.position, future, true);
    const cache = this.#cache;
    kernels.stored.expect(
      logits,
      room!,
      cache,
      cache.queries!,
      turn,
      slopes,
      this.nHeads,
      sinks,
      hparams.attentionScale,
      epsilon,
    );
  }

  /** Marks the slots of the tokens that have just been appended. */
  mark(layer: number, ids: Words, positions: Words, n: number): void {
    const { kernels, classes } = this.rules;
    kernels.classes.mark(this.space.scores[layer], this.caches[layer], ids, positions, classes!, n);
  }

  keepMarked({ over, sinks, recent, marked }: KeepMarked): void {
    const keep = { over, first: sinks, last: Math.max(sinks, this.position - recent), most: marked };
    this.rules.kernels.classes.thin(this.#cache, this.space.scores[this.layer], keep);
  }

  farApart({ count, recent }: { count: number; recent: number }): void {
    const last = Math.max(0, this.position - recent);
    this.rules.kernels.stored.farApart(this.space.scratch.logits, this.#cache, last, count);
  }

  /** Scores the `n` tokens that a layer is about to store by a repetition of them. */
  echo(layer: number, desk: AttentionDesk, n: number): void {
    this.layer = layer;
    const { kernels, hparams: { attentionScale }, slopes } = this.rules;
    const scores = this.space.scores[layer];
    // Queries and keys bear the rope's magnitude already.
    const turn = this.#turn(n, 1, false);
    kernels.stored.echo(
      scores,
      this.#cache,
      desk,
      turn,
      slopes,
      n,
      this.nHeads,
      this.policy.echo!,
      attentionScale,
    );
  }

  /** The mean rotation over `count` positions from `start` on, by the layer's rope; none without one. */
  #turn(start: number, count: number, magnified: boolean): MeanTurn | null {
    const { kernels, hparams: { rope, localRope, windows }, frequencies } = this.rules;
    const which = localRope !== undefined && windows[this.layer] > 0 ? 1 : 0;
    const used = which === 1 ? localRope : rope;
    if (used === undefined) return null;
    const turn = {
      table: this.space.scratch.turns[which],
      dims: used.dims,
      style: ROPE_STYLE[used.style],
    };
    kernels.stored.meanRotation(turn.table, frequencies[which], start, count, magnified ? used.magnitude : 1);
    return turn;
  }

  evictAt(index: number, budget = this.budget): void {
    this.rules.kernels.policy.evictAt(this.#cache, index, budget);
    this.clearEmpty();
  }

  forget(): void {
    const { kernels } = this.rules;
    const scores = this.space.scores[this.layer];
    if (scores !== undefined) kernels.policy.forget(scores, this.#cache);
  }

  /** Sets the layer to what it was before any token. */
  reset(): void {
    this.forget();
    const { kernels } = this.rules;
    const { bias, queries, rings } = this.#cache;
    if (rings !== undefined) kernels.cascade.trim(this.#cache);
    if (bias !== undefined) kernels.policy.forget(bias, this.#cache);
    if (queries !== undefined) new Float32Array(kernels.buffer, queries.offset, queries.length).fill(0);
  }

  /** Closes the holes of the layer; scores move along. */
  compact(): void {
    const { kernels } = this.rules;
    const cache = this.#cache;
    const scores = this.space.scores[this.layer];
    const last = this.layer === this.nLayers - 1;
    if (scores !== undefined && (!this.#shared || last)) kernels.policy.compact(scores, cache);
    if (cache.bias !== undefined) kernels.policy.compact(cache.bias, cache);
    kernels.kvCompact(cache);
  }

  /** Scores and biases of slots that have been emptied become 0. */
  clearEmpty(): void {
    const scores = this.space.scores[this.layer];
    if (scores !== undefined) this.rules.kernels.policy.clear(scores, this.#cache);
    if (this.#cache.rings !== undefined) this.rules.kernels.cascade.trim(this.#cache);
    this.#clearBias();
  }

  #clearBias(): void {
    const { bias } = this.#cache;
    if (bias !== undefined) this.rules.kernels.policy.clear(bias, this.#cache);
  }

  get #cache(): LayerCache {
    return this.caches[this.layer];
  }

  get #rankingRows(): number {
    const ranking = this.#ranking;
    if (ranking === this.space.scratch.logits) return this.nKvHeads;
    return ranking === null ? 0 : ranking.length / this.#cache.capacity;
  }

  /** First of the latest positions, which stay. */
  get #last(): number {
    return Math.max(this.sinks, this.position - this.recent);
  }
}
