/**
 * Reads an architecture's keys, each with its prefix and within bounds, and what most architectures share.
 *
 * @module
 */
import { UnsupportedModelError } from "../../error.ts";
import type { Metadata } from "../../gguf/mod.ts";
import type { Hparams, Rope, RopeScaling } from "../../hparams.ts";
import type { TensorTable } from "../tensor_table.ts";

/** Turns a file's metadata and tensor table into hyperparameters. */
export type Architecture = (keys: Keys) => Hparams;

/** Larger widths and counts than any model has; keeps the plan's arithmetic exact. */
const MAX_COUNT = 2 ** 24;

/** The context to plan for when none is asked for: the model's own, but for memory's sake at most 4,096. */
export function defaultContext(nContext: number): number {
  return Math.min(nContext, 4096);
}

/** Keys of one architecture, named without its prefix. */
export class Keys {
  constructor(
    readonly architecture: string,
    readonly metadata: Metadata,
    readonly tensors: TensorTable,
    readonly wantedContext?: number,
  ) {}

  /** Tokens of context to plan for. */
  get context(): number {
    return this.wantedContext ?? defaultContext(this.count("context_length"));
  }

  has(key: string): boolean {
    return this.metadata.has(this.#full(key));
  }

  /**
   * A whole number from `least` to 16,777,216. An array of one value per layer counts when all are equal.
   *
   * @throws {UnsupportedModelError} When it is out of bounds or differs between layers.
   */
  count(key: string, fallback?: number, least = 1): number {
    const name = this.#full(key);
    const value = this.metadata.get(name);
    let n: number;
    if (ArrayBuffer.isView(value)) {
      const values = Array.from(value as Iterable<number | bigint>, Number);
      if (values.some((v) => v !== values[0])) {
        throw new UnsupportedModelError(name, values, ["one value for all layers"]);
      }
      n = values[0];
    } else n = this.metadata.number(name, fallback);
    if (!(Number.isInteger(n) && n >= least && n <= MAX_COUNT)) {
      throw new UnsupportedModelError(name, n, [`${least} to ${MAX_COUNT}`]);
    }
    return n;
  }

  /** @throws {UnsupportedModelError} When it is not finite or below `least`. */
  scalar(key: string, fallback?: number, least = 0): number {
    const value = this.metadata.number(this.#full(key), fallback);
    if (!(Number.isFinite(value) && value >= least)) {
      throw new UnsupportedModelError(this.#full(key), value, [`a number from ${least}`]);
    }
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    return this.metadata.boolean(this.#full(key), fallback);
  }

  /**
   * What a Llama-like model has, for an architecture to override: RMS norms, gated SiLU, rotary positions.
   *
   * @param ropeStyle How this architecture's files pair the elements of a head.
   */
  llamaLike(ropeStyle: Rope["style"]): Hparams {
    const common = this.#common();
    return {
      ...common,
      norm: { kind: "rms", eps: this.scalar("attention.layer_norm_rms_epsilon") },
      positions: "rope",
      rope: this.rope(ropeStyle, common.headDim),
    };
  }

  /** What a GPT-like model has, for an architecture to override: layer norms, GELU without a gate, learned positions. */
  gptLike(): Hparams {
    return {
      ...this.#common(),
      norm: { kind: "layer", eps: this.scalar("attention.layer_norm_epsilon") },
      positions: "learned",
      activation: "geluTanh",
      gated: false,
    };
  }

  /** Rotary positions as the keys under `rope.` describe them. */
  rope(style: Rope["style"], headDim: number): Rope {
    const dims = this.count("rope.dimension_count", headDim);
    if (dims > headDim || dims % 2 !== 0) {
      throw new UnsupportedModelError(this.#full("rope.dimension_count"), dims, [
        `even numbers up to ${headDim}`,
      ]);
    }
    const base = this.scalar("rope.freq_base", 10000, 1);
    const scaling = this.#ropeScaling();
    // Peng et al.'s temperature on the logits, split between queries and keys: arXiv 2309.00071, eq. 22.
    const temperature = scaling.kind === "yarn" ? 0.1 * Math.log(scaling.factor) + 1 : 1;
    const magnitude = this.scalar("rope.scaling.attn_factor", 1) * temperature;
    return { style, dims, base, scaling, magnitude };
  }

  #ropeScaling(): RopeScaling {
    // As files of 2023 have it.
    if (this.has("rope.scale_linear")) {
      return { kind: "linear", factor: this.scalar("rope.scale_linear", 1, 1) };
    }
    const type = this.metadata.string(this.#full("rope.scaling.type"), "none");
    if (type === "none" || type === "longrope") return { kind: "none" };
    const factor = this.scalar("rope.scaling.factor", undefined, 1);
    if (type === "linear") return { kind: "linear", factor };
    if (type !== "yarn") {
      throw new UnsupportedModelError(this.#full("rope.scaling.type"), type, [
        "none",
        "linear",
        "yarn",
        "longrope",
      ]);
    }
    return {
      kind: "yarn",
      factor,
      originalContext: this.count("rope.scaling.original_context_length", this.count("context_length")),
      betaFast: this.scalar("rope.scaling.yarn_beta_fast", 32),
      betaSlow: this.scalar("rope.scaling.yarn_beta_slow", 1),
    };
  }

  /**
   * Windows of models that mix layers with and without one: the last of every `period` sees all, the others a window; or as
   * a list says, layer by layer.
   */
  windows(nLayers: number, fallback: number, period: number): number[] {
    const window = this.count("attention.sliding_window", fallback);
    const key = "attention.sliding_window_pattern";
    const name = this.#full(key);
    if (!ArrayBuffer.isView(this.metadata.get(name))) {
      const every = this.count(key, period);
      return Array.from({ length: nLayers }, (_, layer) => (layer + 1) % every === 0 ? 0 : window);
    }
    const pattern = Array.from(this.metadata.numbers(name)!, Number);
    if (pattern.length !== nLayers) {
      throw new UnsupportedModelError(name, `${pattern.length} values`, [
        `one for each of ${nLayers} layers`,
      ]);
    }
    return pattern.map((isLocal) => isLocal === 1 ? window : 0);
  }

  #common(): Hparams {
    const nLayers = this.count("block_count");
    const dim = this.count("embedding_length");
    const nHeads = this.count("attention.head_count");
    const nKvHeads = this.count("attention.head_count_kv", nHeads);
    if (nHeads % nKvHeads !== 0) {
      throw new UnsupportedModelError(this.#full("attention.head_count_kv"), nKvHeads, [
        `divisors of ${nHeads} heads`,
      ]);
    }
    if (!this.has("attention.key_length") && dim % nHeads !== 0) {
      throw new UnsupportedModelError(this.#full("attention.head_count"), nHeads, [
        `divisors of width ${dim}`,
      ]);
    }
    const nExperts = this.count("expert_count", 0, 0);
    if (nExperts > 0) {
      throw new UnsupportedModelError(this.#full("expert_count"), nExperts, ["models without experts"]);
    }
    const headDim = this.count("attention.key_length", dim / nHeads);
    // Phi's converter writes a zero for no window
    const window = this.count("attention.sliding_window", 0, 0);
    return {
      architecture: this.architecture,
      nLayers,
      dim,
      nHeads,
      nKvHeads,
      headDim,
      valueDim: this.count("attention.value_length", headDim),
      ffnDim: this.count("feed_forward_length", 4 * dim),
      nVocab: this.tensors.rows("token_embd.weight"),
      nContext: this.count("context_length"),
      norm: { kind: "rms", eps: 0 },
      positions: "none",
      alibiMaxBias: 0,
      attentionScale: this.scalar("attention.scale", 1 / Math.sqrt(headDim)),
      attentionSoftcap: this.scalar("attn_logit_softcapping", 0),
      windows: new Array(nLayers).fill(window),
      clampQkv: this.scalar("attention.clamp_kqv", 0),
      activation: "silu",
      gated: true,
      residual: "sequential",
      embeddingScale: this.scalar("embedding_scale", 1),
      logitScale: this.scalar("logit_scale", 1),
      finalSoftcap: this.scalar("final_logit_softcapping", 0),
    };
  }

  #full(key: string): string {
    return `${this.architecture}.${key}`;
  }
}
