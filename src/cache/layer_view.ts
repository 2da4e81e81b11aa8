/**
 * A layer as a policy sees it: the operations of `policy.ts`, on the kernels.
 *
 * @module
 */
import type { Kernels } from "../kernels/kernels.ts";
import type { GivenNoise, ObserveOptions } from "../kernels/policy_kernels.ts";
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import type { Cut, Keep, ObservedLayer, ReducedLayer } from "./policy.ts";

const PLAIN: ObserveOptions = { noise: "none", seed: 0, reduce: "sum", weight: 1, decay: 1, tau: 1 };

/** Rows of attention that wait in the scratch. */
export interface Rows {
  /** `[H, T]`. */
  readonly logSums: Floats;
  readonly positions: Words;
  /** The first of them among the positions. */
  readonly first: number;
}

/** One for a sequence, turned to layer after layer. */
export class LayerView implements ObservedLayer, ReducedLayer {
  layer = 0;
  step = 0;
  nTokens = 0;
  budget = 0;
  /** Position of the token that comes next. */
  position = 0;
  #rows: Rows | undefined;

  constructor(
    private readonly kernels: Kernels,
    readonly nHeads: number,
    readonly nKvHeads: number,
    private readonly caches: readonly LayerCache[],
    private readonly scores: readonly Floats[],
    private readonly scratch: Floats,
    private readonly shared: boolean,
    private readonly given: GivenNoise | null,
  ) {}

  get nLayers(): number {
    return this.caches.length;
  }

  /** Turns to the next `nTokens` rows of a layer. */
  show(layer: number, rows: Rows, nTokens: number): this {
    this.layer = layer;
    this.#rows = rows;
    this.nTokens = nTokens;
    return this;
  }

  /** Turns to a layer to be reduced. */
  turn(layer: number, budget: number): this {
    this.layer = layer;
    this.budget = budget;
    return this;
  }

  add(options: Partial<ObserveOptions> = PLAIN): void {
    const { logSums, positions, first } = this.#rows!;
    this.kernels.policy.observe(
      this.scores[this.layer],
      this.scratch,
      logSums,
      this.caches[this.layer],
      positions,
      first,
      this.nTokens,
      this.nHeads,
      this.layer,
      options === PLAIN ? PLAIN : { ...PLAIN, ...options },
      this.given,
    );
  }

  keep({ budget, sinks = 0, recent = 0, by = "scores" }: Keep): void {
    const cache = this.caches[this.layer];
    const scores = by === "scores" ? this.scores[this.layer] : by === "scratch" ? this.scratch : null;
    const rows = by === "scores" ? scores!.length / cache.capacity : this.nKvHeads;
    // Scores that all layers share are read by the later ones too.
    const clear = by === "scores" && (!this.shared || this.layer === this.nLayers - 1);
    const last = Math.max(sinks, this.position - recent);
    this.kernels.policy.select(cache, scores, rows, budget, sinks, last, clear);
  }

  cut({ below, sinks = 0, recent = 0 }: Cut): void {
    const [cache, scores] = [this.caches[this.layer], this.scores[this.layer]];
    const last = Math.max(sinks, this.position - recent);
    this.kernels.policy.cut(cache, scores, scores.length / cache.capacity, sinks, last, below);
    this.clearEmpty();
  }

  pool({ width, max = false, recent }: { width: number; max?: boolean; recent: number }): void {
    const end = Math.max(0, this.position - recent);
    this.kernels.policy.pool(this.scratch, this.scores[this.layer], this.caches[this.layer], width, max, end);
  }

  randomise(seed: number): void {
    this.kernels.policy.randomise(this.scratch, this.caches[this.layer], seed, this.layer);
  }

  forget(): void {
    if (this.scores.length > 0) this.kernels.policy.forget(this.scores[this.layer], this.caches[this.layer]);
  }

  /** Closes the holes of the layer; scores move along. */
  compact(): void {
    const cache = this.caches[this.layer];
    const last = this.layer === this.nLayers - 1;
    if (this.scores.length > 0 && (!this.shared || last)) {
      this.kernels.policy.compact(this.scores[this.layer], cache);
    }
    this.kernels.kvCompact(cache);
  }

  /** Scores of slots that have been emptied otherwise become 0. */
  clearEmpty(): void {
    if (this.scores.length > 0) this.kernels.policy.clear(this.scores[this.layer], this.caches[this.layer]);
  }
}
