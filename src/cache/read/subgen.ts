import { isCount } from "../../count.ts";
import { OptionError, SnapshotError, UnsupportedModelError } from "../../error.ts";
import { type GivenDraws, type Sketch, type SketchShape, sketchSizes } from "../../kernels/sketch_kernels.ts";
import type { Floats, Words } from "../../memory/handles.ts";
import type { Param } from "../named.ts";
import { SEED } from "../policies/params.ts";
import type { AttentionDesk, AttentionRules, KvStorage, ReadEntry } from "../storage.ts";
import { PassingReader } from "./passing.ts";

/** Parameters of the sketch; `policies/subgen.ts` takes them too. */
export const SUBGEN_PARAMS: Readonly<Record<string, Param>> = {
  form: {
    default: "fold",
    help: "A cluster is one slot with the mean of its values (fold), or samples estimate both sums (sample)",
    oneOf: ["fold", "sample"],
  },
  clusters: {
    default: 1,
    help: "Clusters that there is room for: up to 1 a share of the slots, else a number",
    least: 0.01,
  },
  radius: {
    default: 0.5,
    help: "Radius of a cluster, in root mean square distances between the keys first fed",
    least: 0,
  },
  delta: { default: 0, help: "Radius of a cluster, of keys / sqrt(d); 0: by `radius`", least: 0 },
  keys: { default: 4, help: "sample: keys of a cluster", least: 1, most: 64, whole: true },
  values: { default: 64, help: "sample: values in all", least: 1, most: 4096, whole: true },
};

/** What has left the recent tokens, as clusters and samples; attention to it joins attention over the slots. */
export const subgen: ReadEntry = {
  name: "subgen",
  summary:
    "Reads, beside the slots, a sketch of the tokens that have left them; part of the policy of that name",
  source: "arXiv 2402.06082",
  cost: "see the policy",
  params: { ...SUBGEN_PARAMS, seed: SEED },
  plan(values, { hparams, policy, prefill, chunk }) {
    if (policy?.name !== "subgen") throw new OptionError("read", "subgen", "the policy subgen beside it");
    if (hparams.positions === "alibi" || hparams.attentionSoftcap > 0 || hparams.windows.some((w) => w > 0)) {
      throw new UnsupportedModelError("attention of a model under subgen", "ALiBi, a soft cap or windows", [
        "plain logits over the whole text",
      ]);
    }
    const [clusters, radius, delta, seed] = ["clusters", "radius", "delta", "seed"].map((name) =>
      values.number(name)
    );
    const sampled = values.text("form") === "sample";
    const [keySamples, valueSamples] = sampled ? [values.number("keys"), values.number("values")] : [0, 0];
    const later = prefill === "whole" ? 0 : chunk;
    const shapeOf = (capacity: number): SketchShape => ({
      clusters: clusters > 1 ? Math.floor(clusters) : Math.max(1, Math.floor(clusters * (capacity - later))),
      keySamples,
      valueSamples,
    });
    return {
      name: "subgen",
      params: values.all,
      lay: (layers, kv) =>
        layers.map((cache) => {
          const { nKvHeads, keyDim, valueDim, capacity, state } = cache;
          const sizes = sketchSizes(shapeOf(capacity), keyDim, valueDim);
          const sketchWords = kv.words(nKvHeads * sizes.words);
          const sketchFloats = kv.floats(nKvHeads * sizes.floats);
          return Object.freeze({ ...cache, state: { ...state, sketchWords, sketchFloats } });
        }),
      open: (rules, storage) =>
        new SubgenReader(rules, storage, shapeOf, {
          seed,
          delta: delta > 0 ? delta : -radius,
          whole: prefill === "whole",
          chunk,
        }),
    };
  },
};

interface SubgenOptions {
  readonly seed: number;
  /** Radius of a cluster; below 0 in spreads of the keys. */
  readonly delta: number;
  /** Whether a prompt is read as a whole before any token leaves. */
  readonly whole: boolean;
  /** Prompt tokens computed at once. */
  readonly chunk: number;
}

/** Feeds the tokens that leave into the sketch, and reads it. */
export class SubgenReader extends PassingReader {
  /** Draws for runs that must make given choices. */
  given: GivenDraws | null = null;
  readonly #sketches: readonly Sketch[];
  readonly #options: { seed: number; delta: number; scale: number };
  readonly #whole: boolean;
  readonly #words: Uint32Array;
  /** Slots of each layer that stay as they are. */
  #recent: readonly number[];
  /** Tokens before this position are in the sketch. */
  #fed = 0;
  #step = false;

  constructor(
    rules: AttentionRules,
    storage: KvStorage,
    shapeOf: (capacity: number) => SketchShape,
    { whole, chunk, ...options }: SubgenOptions,
  ) {
    super(rules, storage);
    this.#options = { ...options, scale: rules.hparams.attentionScale };
    this.#whole = whole;
    this.#words = new Uint32Array(rules.kernels.buffer);
    // Until a prompt tells.
    this.#recent = this.layers.map(({ capacity }) => Math.max(1, capacity - chunk));
    this.#sketches = this.layers.map(({ capacity, state }) => ({
      ...shapeOf(capacity),
      words: state!.sketchWords as Words,
      floats: state!.sketchFloats as Floats,
    }));
  }

  override openPrompt(budgets: readonly number[]): void {
    super.openPrompt(budgets);
    this.#recent = budgets;
  }

  override openStep(): void {
    super.openStep();
    this.#step = true;
  }

  override append(layer: number, desk: AttentionDesk, n: number): void {
    super.append(layer, desk, n);
    // In a prompt tokens leave when the chunk has been read.
    if (this.#step) this.#feed(layer, this.#words[desk.positions.offset >>> 2] + 1);
  }

  override attend(layer: number, desk: AttentionDesk, first: number, n: number, scores: Floats | null): void {
    super.attend(layer, desk, first, n, scores);
    const { kernels, hparams: { nHeads, attentionScale } } = this.rules;
    const [sketch, cache] = [this.#sketches[layer], this.layers[layer]];
    kernels.sketch.read(desk.attended, desk.logSums, desk.q, sketch, cache, first, n, nHeads, attentionScale);
  }

  override closeChunk(position: number, ahead: number): void {
    super.closeChunk(position, ahead);
    if (this.#whole && ahead > 0) return;
    for (let layer = 0; layer < this.layers.length; layer++) this.#feed(layer, position);
  }

  override closeStep(position: number): void {
    super.closeStep(position);
    this.#step = false;
  }

  /** The sketch cannot give back tokens: one that holds some of those forgotten is forgotten too. */
  override truncated(position: number): void {
    super.truncated(position);
    this.#step = false;
    if (position < this.#fed) this.#clear();
  }

  override reset(): void {
    super.reset();
    this.#step = false;
    this.#clear();
  }

  override save(): unknown {
    return { inner: super.save(), recent: this.#recent, fed: this.#fed };
  }

  override restore(saved: unknown): () => void {
    const { inner, recent, fed } = (saved ?? {}) as { inner?: unknown; recent?: number[]; fed?: number };
    if (!Array.isArray(recent) || !recent.every(isCount) || !isCount(fed)) {
      throw new SnapshotError("sketch", saved, "what this reader has saved");
    }
    const resume = super.restore(inner);
    return () => {
      resume();
      [this.#recent, this.#fed] = [recent, fed];
    };
  }

  /** Tokens before the recent ones of a text of `position` tokens leave the layer's slots. */
  #feed(layer: number, position: number): void {
    const before = position - this.#recent[layer];
    if (before <= 0) return;
    const [sketch, cache] = [this.#sketches[layer], this.layers[layer]];
    this.rules.kernels.sketch.feed(sketch, cache, before, layer, this.#options, this.given);
    this.#fed = Math.max(this.#fed, before);
  }

  #clear(): void {
    this.#fed = 0;
    for (const { words } of this.#sketches) {
      this.#words.fill(0, words.offset >>> 2, (words.offset >>> 2) + words.length);
    }
  }
}
