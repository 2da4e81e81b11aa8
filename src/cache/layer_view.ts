/**
 * A layer as a policy sees it: the operations of `policy.ts`, on the kernels. Here are those that choose what stays.
 *
 * @module
 */
import type { CascadeForm } from "../kernels/cascade_kernels.ts";
import type { GivenNoise } from "../kernels/policy_kernels.ts";
import type { Floats, LayerCache } from "../memory/handles.ts";
import type { BudgetRule, Choice } from "./budget_rule.ts";
import { LayerScores, type PolicyRules } from "./layer_scores.ts";
import type { Cut, Keep, KeepMarked, Policy, ProbeRows, ReducedLayer } from "./policy.ts";
import type { PolicySpace } from "./policy_space.ts";

/** One for a sequence, turned to layer after layer. */
export class LayerView extends LayerScores implements ReducedLayer, Choice {
  budget = 0;
  promptBudget = 0;
  /** Slots that a KV head may keep at most. */
  most = 0;
  sinks = 0;
  recent = 0;
  /** Scores that the current choice goes by. */
  #ranking: Floats | null = null;

  constructor(
    rules: PolicyRules,
    policy: Policy,
    private readonly budgetRule: BudgetRule | null,
    caches: readonly LayerCache[],
    space: PolicySpace,
    given: GivenNoise | null,
  ) {
    super(rules, policy, caches, space, given);
  }

  /** Turns to a layer to be reduced; `most` slots of a head may be held at most. */
  turn(layer: number, budget: number, promptBudget = budget, most = budget): this {
    this.layer = layer;
    this.budget = budget;
    this.promptBudget = promptBudget;
    this.most = Math.min(most, Math.floor(budget * (this.budgetRule?.most ?? 1)));
    return this;
  }

  keepProbed(rows: ProbeRows, tau: number): void {
    const { space: { scores }, rules: { kernels }, position, budget } = this;
    const demotes = this.policy.victims === "demote";
    const first = demotes ? this.#coded : 0;
    const among = { tau, first, held: this.step === 0 };
    const n = kernels.mass.count(scores[this.layer], this.cache, this.probes(rows), among);
    if (!demotes) return this.keep({ budget: Math.min(n, budget), recent: 1 });
    // Each time as large a share as the budget is of the whole text.
    const share = Math.ceil(budget * (position - first) / position - 1e-9);
    this.#demote(first, Math.min(n, share), among.held ? 1 : 0);
  }

  /** The best `n` of the tokens that wait to be coded, which `first` others precede, and the `recent` latest matter. */
  #demote(first: number, n: number, recent: number): void {
    const { rules: { kernels }, space: { scratch, scores } } = this;
    const cache = this.cache;
    const { offset, length } = scratch.before!;
    const kept: LayerCache = { ...cache, slots: { kind: "bytes", offset, length: 4 * length } };
    kernels.stored.mark(scratch.before!, cache);
    kernels.policy.select(kept, scores[this.layer], 1, first + n, first, this.position - recent, false);
    kernels.codec.choose(cache, kept.slots);
  }

  /** Tokens that are coded already. */
  get #coded(): number {
    return new Uint32Array(this.rules.kernels.buffer, this.cache.codec!.offset, 2)[1];
  }

  cascade(form: CascadeForm): void {
    this.rules.kernels.cascade.insert(this.cache, this.space.scores[this.layer], form);
  }

  keep({ budget, sinks = 0, recent = 0, by = "scores" }: Keep): void {
    const { space: { scratch, scores }, policy: { victims = "drop" }, rules: { kernels } } = this;
    const cache = this.cache;
    this.#ranking = by === "scores" ? scores[this.layer] : by === "scratch" ? scratch.logits : null;
    this.budget = budget;
    this.sinks = sinks;
    this.recent = recent;

    // Scores that all layers share are read by the later ones too.
    const clear = by === "scores" && (!this.policy.shared || this.layer === this.nLayers - 1);
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
      this.cache,
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
    this.rules.kernels.policy.spread(this.cache, this.#ranking!, total, least, most, sinks, this.#last);
  }

  cutBelow(least: number): void {
    const { kernels } = this.rules;
    kernels.policy.cut(this.cache, this.#ranking!, this.#rankingRows, this.sinks, this.#last, least);
  }

  cutShare(tau: number): void {
    this.rules.kernels.policy.cutShare(this.cache, this.#ranking!, this.sinks, this.#last, tau);
  }

  cut({ below, sinks = 0, recent = 0 }: Cut): void {
    this.#ranking = this.space.scores[this.layer];
    this.sinks = sinks;
    this.recent = recent;
    this.cutBelow(below);
    this.clearEmpty();
  }

  keepMarked({ over, sinks, recent, marked }: KeepMarked): void {
    const keep = { over, first: sinks, last: Math.max(sinks, this.position - recent), most: marked };
    this.rules.kernels.classes.thin(this.cache, this.space.scores[this.layer], keep);
  }

  evictAt(index: number, budget = this.budget): void {
    this.rules.kernels.policy.evictAt(this.cache, index, budget);
    this.clearEmpty();
  }

  forget(): void {
    const { kernels } = this.rules;
    const scores = this.space.scores[this.layer];
    if (scores !== undefined) kernels.policy.forget(scores, this.cache);
  }

  /** Sets the layer to what it was before any token. */
  reset(): void {
    this.forget();
    const { kernels } = this.rules;
    const { bias, queries, rings } = this.cache;
    if (rings !== undefined) kernels.cascade.trim(this.cache);
    if (bias !== undefined) kernels.policy.forget(bias, this.cache);
    if (queries !== undefined) new Float32Array(kernels.buffer, queries.offset, queries.length).fill(0);
  }

  /** Closes the holes of the layer; scores move along. */
  compact(): void {
    const { kernels } = this.rules;
    const cache = this.cache;
    const scores = this.space.scores[this.layer];
    const last = this.layer === this.nLayers - 1;
    if (scores !== undefined && (!this.policy.shared || last)) kernels.policy.compact(scores, cache);
    if (cache.bias !== undefined) kernels.policy.compact(cache.bias, cache);
    kernels.cache.compact(cache);
  }

  /** Scores and biases of slots that have been emptied become 0. */
  clearEmpty(): void {
    const scores = this.space.scores[this.layer];
    if (scores !== undefined) this.rules.kernels.policy.clear(scores, this.cache);
    if (this.cache.rings !== undefined) this.rules.kernels.cascade.trim(this.cache);
    this.#clearBias();
  }

  #clearBias(): void {
    const { bias } = this.cache;
    if (bias !== undefined) this.rules.kernels.policy.clear(bias, this.cache);
  }

  get #rankingRows(): number {
    const ranking = this.#ranking;
    if (ranking === this.space.scratch.logits) return this.nKvHeads;
    return ranking === null ? 0 : ranking.length / this.cache.capacity;
  }

  /** First of the latest positions, which stay. */
  get #last(): number {
    return Math.max(this.sinks, this.position - this.recent);
  }
}
