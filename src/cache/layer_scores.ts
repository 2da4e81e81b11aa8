/**
 * What a policy makes of a layer's rows of attention, keys and queries: scores of its slots, on the kernels.
 *
 * @module
 */
import { ropeIndex } from "../hparams.ts";
import { ROPE_STYLE } from "../kernels/kernels.ts";
import type { Probes } from "../kernels/mass_kernels.ts";
import type { GivenNoise, ObserveOptions } from "../kernels/policy_kernels.ts";
import type { MeanRotation } from "../kernels/stored_kernels.ts";
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import type { Geometry, ObservedLayer, Policy, ProbeRows } from "./policy.ts";
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

/** The half of a `LayerView` that scores. */
export class LayerScores implements ObservedLayer {
  layer = 0;
  step = 0;
  nTokens = 0;
  /** Tokens that pass the layers at once, of which these are some. */
  passTokens = 0;
  /** Positions between two reductions: from the first, up to the second. */
  span: readonly [number, number] = [0, 0];
  /** Position of the token that comes next. */
  position = 0;
  #rows: Rows | undefined;

  constructor(
    protected readonly rules: PolicyRules,
    protected readonly policy: Policy,
    protected readonly caches: readonly LayerCache[],
    protected readonly space: PolicySpace,
    private readonly given: GivenNoise | null,
  ) {}

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
      this.cache,
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
      this.cache,
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
      this.cache,
      positions,
      first,
      this.nTokens,
      this.nHeads,
      this.probes(rows),
    );
  }

  /** Which rows of what is read between two reductions are probes. */
  protected probes({ recent, random, seed }: ProbeRows): Probes {
    // The row of a token of the running text.
    if (this.step > 0) return { start: this.position - 1, end: this.position, from: 0, share: 0, seed };
    const [start, end] = this.span;
    const from = Math.max(start, end - recent);
    return { start, end, from, share: from > start ? random / (from - start) : 0, seed };
  }

  pool({ width, max = false, recent }: { width: number; max?: boolean; recent: number }): void {
    const end = Math.max(0, this.position - recent);
    const { scratch, scores } = this.space;
    this.rules.kernels.policy.pool(scratch.logits, scores[this.layer], this.cache, width, max, end);
  }

  randomise(seed: number): void {
    this.rules.kernels.policy.randomise(this.space.scratch.logits, this.cache, seed, this.layer);
  }

  measure(kind: Geometry): void {
    this.rules.kernels.stored.geometry(this.space.scratch.logits, this.cache, kind);
  }

  expect({ future, epsilon, sinks }: { future: number; epsilon: number; sinks: number }): void {
    const { kernels, hparams, slopes } = this.rules;
    const { logits, room } = this.space.scratch;
    const rotation = this.#meanRotation(this.position, future, true);
    const cache = this.cache;
    kernels.stored.expect(
      logits,
      room!,
      cache,
      cache.queries!,
      rotation,
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

  farApart({ count, recent }: { count: number; recent: number }): void {
    const last = Math.max(0, this.position - recent);
    this.rules.kernels.stored.farApart(this.space.scratch.logits, this.cache, last, count);
  }

  /** Scores the `n` tokens that a layer is about to store by a repetition of them. */
  echo(layer: number, desk: AttentionDesk, n: number): void {
    this.layer = layer;
    const { kernels, hparams: { attentionScale }, slopes } = this.rules;
    const scores = this.space.scores[layer];
    // Queries and keys bear the rope's magnitude already.
    const rotation = this.#meanRotation(n, 1, false);
    kernels.stored.echo(
      scores,
      this.cache,
      desk,
      rotation,
      slopes,
      n,
      this.nHeads,
      this.policy.echo!,
      attentionScale,
    );
  }

  /** The mean rotation over `count` positions from `start` on, by the layer's rope; none without one. */
  #meanRotation(start: number, count: number, magnified: boolean): MeanRotation | null {
    const { kernels, hparams, frequencies } = this.rules;
    const which = ropeIndex(hparams, this.layer);
    const used = [hparams.rope, hparams.localRope][which];
    if (used === undefined) return null;
    const rotation = {
      table: this.space.scratch.meanRotations[which],
      dims: used.dims,
      style: ROPE_STYLE[used.style],
    };
    kernels.stored.meanRotation(
      rotation.table,
      frequencies[which],
      start,
      count,
      magnified ? used.magnitude : 1,
    );
    return rotation;
  }

  protected get cache(): LayerCache {
    return this.caches[this.layer];
  }
}
