/**
 * What a decoder-only transformer is, apart from its weights: pure data, the same record for every architecture.
 * `model/arch/` fills it from a file's metadata; everything else only reads it. Letters used in shapes:
 * D `dim`, F `ffnDim`, L `nLayers`, H `nHeads`, G `nKvHeads`, d `headDim`, V `nVocab`, T tokens of a call, S slots.
 *
 * @module
 */

/** Normalisation of every block's input. `rms`: arXiv 1910.07467; `layer`: arXiv 1607.06450. */
export interface Normalisation {
  readonly kind: "rms" | "layer";
  readonly eps: number;
}

/** How rotary frequencies are stretched beyond the trained context. */
export type RopeScaling =
  | { readonly kind: "none" }
  /** Every frequency divided by `factor`. */
  | { readonly kind: "linear"; readonly factor: number }
  /** By parts, arXiv 2309.00071 §3: low frequencies are divided by `factor`, high ones kept, a ramp between. */
  | {
    readonly kind: "yarn";
    readonly factor: number;
    readonly originalContext: number;
    readonly betaFast: number;
    readonly betaSlow: number;
  };

/** Rotary positions (arXiv 2104.09864). `adjacent` rotates pairs (0,1),(2,3)…, `half` pairs (0,n/2),(1,n/2+1)…. */
export interface Rope {
  readonly style: "adjacent" | "half";
  /** Leading elements of a head that are rotated, even, at most `headDim`; the rest pass through. */
  readonly dims: number;
  readonly base: number;
  readonly scaling: RopeScaling;
  /** Factor on both cosine and sine (1 = none): the attention factor of yarn and longrope. */
  readonly magnitude: number;
  /** A tensor `[dims / 2]` by whose elements the frequencies are divided, as Llama 3 and Phi-3 have it. */
  readonly factorsTensor?: string;
}

/** Hyperparameters of one model. Biases, query/key norms, post-norms and a separate output matrix are told by the
 * tensors that are there, not here. */
export interface Hparams {
  readonly architecture: string;
  readonly nLayers: number;
  readonly dim: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  /** Width of a query and key head. */
  readonly headDim: number;
  /** Width of a value head. */
  readonly valueDim: number;
  readonly ffnDim: number;
  readonly nVocab: number;
  /** Context the model was made for, in tokens. */
  readonly nContext: number;
  readonly norm: Normalisation;
  readonly positions: "rope" | "learned" | "alibi" | "none";
  /** Set when `positions` is `rope`. */
  readonly rope?: Rope;
  /** Replaces `rope` on layers with a window, where the model has two (Gemma 3); of the same style and dims. */
  readonly localRope?: Rope;
  /** Largest ALiBi bias, 8 in the paper (arXiv 2108.12409); used when `positions` is `alibi`. */
  readonly alibiMaxBias: number;
  /** Factor on query · key. */
  readonly attentionScale: number;
  /** `cap · tanh(logit / cap)` on attention logits; 0 = none. */
  readonly attentionSoftcap: number;
  /** Per layer: how many newest positions a token sees, itself included; 0 = all. */
  readonly windows: readonly number[];
  /** Queries, keys and values are clamped to ±this; 0 = not. */
  readonly clampQkv: number;
  readonly activation: "silu" | "geluTanh" | "gelu" | "relu";
  /** Feed-forward is `down(act(gate(x)) · up(x))` rather than `down(act(up(x)))`. */
  readonly gated: boolean;
  /** `parallel`: attention and feed-forward both read the block's input (GPT-J, GPT-NeoX, Falcon). */
  readonly residual: "sequential" | "parallel";
  readonly embeddingScale: number;
  readonly logitScale: number;
  /** Soft cap of the output logits; 0 = none. */
  readonly finalSoftcap: number;
}

/** Which of the model's one or two ropes turns the queries and keys of a layer: 0 `rope`, 1 `localRope`. */
export function ropeIndex(
  { localRope, windows }: Pick<Hparams, "localRope" | "windows">,
  layer: number,
): 0 | 1 {
  return localRope !== undefined && windows[layer] > 0 ? 1 : 0;
}
