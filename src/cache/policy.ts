/**
 * What a cache policy is. The engine owns slots, keys and values; a policy says which rows of attention it wants to
 * see, how they become scores, and which slots stay. It calls kernels that work on all heads of a layer at once and
 * never sees a number of theirs, so that a policy costs nothing per token in JavaScript.
 *
 * Life of a sequence's cache, for every layer:
 *
 *     prompt   per chunk: append, attend, `observe` the rows asked for
 *              then `reduce`, after each chunk (streaming) or after the last (whole)
 *     step     append the token, attend (itself included), `observe`, `reduce`
 *
 * Between calls at most `budget` slots per KV head are held, plus what `every` allows.
 *
 * @module
 */
import type { CascadeForm } from "../kernels/cascade_kernels.ts";
import type { ObserveOptions } from "../kernels/policy_kernels.ts";
import type { Geometry } from "../kernels/stored_kernels.ts";

export type { Geometry, ObserveOptions };

/** Value of a policy's parameter. */
export type PolicyValue = number | string | boolean;

/**
 * What becomes of tokens that leave. `drop`: they are gone. `mass_fold`: values join the most similar key that stays, which then weighs for both.
 * `merge_nearest`: keys and values go into the mean at the nearest position that stays; for presets alone, since it
 * mixes rotated keys. `demote`: they stay in fewer bits, as the storage `mixed` does; for presets alone, which rank the
 * tokens that wait to be coded.
 */
export type Victims = "drop" | "mass_fold" | "merge_nearest" | "demote";

/** Tokens read at once: a chunk of a prompt, or a token of a running text. */
export interface Moment {
  readonly layer: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  /** 0 in a prompt, then 1 for the first token after it, and so on. */
  readonly step: number;
}

/** A layer that some rows of attention have just passed. */
export interface ObservedLayer extends Moment {
  /** Rows to be observed. */
  readonly nTokens: number;
  /**
   * Turns the attention of these rows into scores: softmax((logit + noise) / tau) · weight, summed over the heads of a row
   * of scores. To be called once. By default without noise, weight 1, decay 1, tau 1.
   */
  add(options?: Partial<ObserveOptions>): void;
  /**
   * Moves the scores towards these rows: for each token beta · score + (1 - beta) · weight, of a KV head's query heads the
   * one with the largest sum over the tokens read at once. Tokens before position `sinks` have none. For policies that
   * cascade.
   */
  average(options: { readonly beta: number; readonly sinks: number }): void;
  /** Adds the weights of those of these rows that are probes, the mean over all heads; scores are one row per layer. */
  probe(rows: ProbeRows): void;
}

/** Which rows of what is read between two reductions show where attention goes. */
export interface ProbeRows {
  /** So many of the latest. */
  readonly recent: number;
  /** About so many of the others, drawn by position. */
  readonly random: number;
  readonly seed: number;
}

/** How the tokens of a prompt that matter are known before attention is computed. */
export interface SparseRule {
  /** Rows that show it. */
  readonly rows: ProbeRows;
  /** Share of their attention that the tokens which matter have together. */
  readonly tau: number;
  /** Whether the others stay in fewer bits rather than leave. */
  readonly demotes: boolean;
  /** Whether attention of all tokens is computed, though over those alone that matter. */
  readonly allRows: boolean;
}

/** How to choose what stays. */
export interface Keep {
  /** Slots per KV head that stay. */
  readonly budget: number;
  /** First positions of the text that stay in any case. */
  readonly sinks?: number;
  /** Latest positions that stay in any case. */
  readonly recent?: number;
  /** Which slots are better: those of higher scores (default), of higher draws or pools made just before, or the latest. */
  readonly by?: "scores" | "scratch" | "age";
}

/** How to cut off what scores too low. */
export interface Cut {
  /** Slots with a lower score leave. */
  readonly below: number;
  readonly sinks?: number;
  readonly recent?: number;
}

/** How to choose by marks. */
export interface KeepMarked {
  /** With no more slots than this nothing leaves. */
  readonly over: number;
  /** First positions of the text that stay in any case. */
  readonly sinks: number;
  /** Latest positions that stay in any case. */
  readonly recent: number;
  /** Of the marked tokens between, the latest so many stay; of the others none. */
  readonly marked: number;
}

/** A layer whose cache is to be reduced. */
export interface ReducedLayer extends Moment {
  /** Slots per KV head that may stay. */
  readonly budget: number;
  /** What that was at the end of the latest prompt. */
  readonly promptBudget: number;
  /** Tokens of the text read so far. */
  readonly position: number;
  /** Empties all other slots. The earlier position wins among equals, and what is no number never wins. */
  keep(keep: Keep): void;
  /** Empties all slots of lower scores, however few stay; scores per KV head or layer. */
  cut(cut: Cut): void;
  /**
   * Keeps as many slots as reach a share `tau` of what the probes have shown, at most the budget: those with the most for
   * each probe that can see them, and the last token. Only for policies without `steps`, or whose victims are demoted:
   * then it chooses among the tokens that wait to be coded, in steps by the row of the latest token.
   */
  keepProbed(rows: ProbeRows, tau: number): void;
  /**
   * Makes scratch scores per KV head from scores per query head: the mean or maximum over `width` neighbouring slots,
   * then the mean over the KV head's query heads; the `recent` latest positions take no part. Only for policies without
   * `steps`: their slots lie in order of position.
   */
  pool(options: { readonly width: number; readonly max?: boolean; readonly recent: number }): void;
  /** Empties slots by the marks of their tokens, for policies with `classes`. */
  keepMarked(keep: KeepMarked): void;
  /**
   * Makes scratch scores of `count` tokens whose keys are far from each other, found one after the other from the first
   * token on: `count` for that one, 1 for the last, 0 for all others. The `recent` latest positions take no part.
   */
  farApart(options: { readonly count: number; readonly recent: number }): void;
  /** Empties the slot that `index` others precede in the text, until no more than `budget` (the layer's) are held. */
  evictAt(index: number, budget?: number): void;
  /** Makes scratch scores from the stored keys. */
  measure(kind: Geometry): void;
  /**
   * Makes scratch scores from what the next `future` queries will give the slots, if they are like those of `queries`:
   * (that weight + epsilon) times the length of the value. The first `sinks` positions take no part.
   */
  expect(options: { readonly future: number; readonly epsilon: number; readonly sinks: number }): void;
  /** Makes scratch scores that are a uniform draw for each position. */
  randomise(seed: number): void;
  /** Takes all new tokens into a cascade of rings, each of which takes every second that the one before it gives up. */
  cascade(form: CascadeForm): void;
  /** Sets all scores to 0. */
  forget(): void;
}

/** What anchors see and show; see `policies/anchor.ts`. */
export interface AnchorRule {
  /** Whether an anchor sees the anchors before it, or its own segment only. */
  readonly sees: "anchors" | "segment";
  /** For each layer the one whose anchors it reads too, itself for none; absent: none does. */
  readonly layers?: readonly number[];
}

/** A cache policy with its parameters. Write one as an object; `loadModel` takes it as it is. */
export interface Policy {
  /** Its name in reports. */
  readonly name: string;
  /** Its parameters in reports. */
  readonly params: Readonly<Record<string, PolicyValue>>;
  /** Least budget that makes sense: protected slots and one more. */
  readonly minBudget: number;
  /** What scores there are per slot: none, one per layer, per KV head (the sum over its query heads), or per query head. */
  readonly scores: "none" | "layer" | "kvHead" | "head";
  /** One row of scores for all layers together instead of one each. Every layer then keeps the same. */
  readonly shared?: boolean;
  /** Which rows of what a prompt reads between two reductions it observes: none, all, or that many last ones. */
  readonly promptRows: "none" | "all" | number;
  /** Whether it observes the rows of steps; default: as it does those of prompts. */
  readonly stepRows?: false;
  /** Whether it observes and reduces in the steps after the prompt. Without, those tokens stay, up to `reserve`. */
  readonly steps: boolean;
  /** Slots kept free for tokens after the prompt where `steps` is off and prompts stream. */
  readonly reserve?: number;
  /** Observes and reduces in every n-th step only. Default 1. */
  readonly every?: number;
  /** Storage that it asks for where the caller names none, as `storage/mod.ts` reads it. */
  readonly storage?: string;
  /** Reader that it asks for where the caller names none, as `read/mod.ts` reads it. */
  readonly read?: string;
  /** Whether that reader is a part of it, so that no other one will do. */
  readonly needsRead?: boolean;
  /** Positions that it asks for where the caller does not say and the model allows it. */
  readonly positions?: "original" | "compact";
  /**
   * What it ranks the slots of each KV head by: `attention`, of which shares mean something, or any `order`. Absent where
   * all heads keep the same: budget rules and victims other than `drop` need it.
   */
  readonly ranks?: "attention" | "order";
  /** Budget rule that it asks for where the caller names none, as `budget_rules/mod.ts` reads it. */
  readonly budgetRule?: string;
  /** What becomes of tokens that leave, where the caller does not say. Default `drop`. */
  readonly victims?: Victims;
  /** Whether it keeps rings, as `average` and `cascade` do; scores are then per KV head. */
  readonly cascades?: boolean;
  /** Whether it looks at stored keys or values, as `measure` and `expect` do: then no codec may hide them. */
  readonly readsStored?: boolean;
  /** First position whose query the statistics count that `expect` needs; absent: none are made. */
  readonly queries?: number;
  /** What it chooses by where prompts are read sparsely; absent: they can't be. */
  readonly sparse?: SparseRule;
  /** Texts that mark a token which holds one of them. Scores, if any, are these marks then: 1, or 0 for all others. */
  readonly classes?: readonly string[];
  /** Tokens of the classes end segments and are anchors, which alone stay of them. The reader `anchor` sees to it. */
  readonly anchors?: AnchorRule;
  /**
   * Whether chunks of a prompt score their own tokens by how much each would help to repeat the chunk, with so many first
   * positions of the text in view, 8 at most. Scores are then per KV head.
   */
  readonly echo?: number;
  /** Whether a share is of the tokens read so far, rounded up, rather than of the prompt, rounded down. */
  readonly grows?: boolean;
  /** Budget of a layer, given the mean one and the tokens of text and prompt together (when planning: Infinity). */
  layerBudget?(budget: number, layer: number, nLayers: number, nTokens: number): number;
  /** Turns rows of attention into scores. */
  observe?(layer: ObservedLayer): void;
  /** Chooses what stays. */
  reduce(layer: ReducedLayer): void;
}

/**
 * Slots of a budget that a share or a count stands for: below 1 a share of the budget (rounded down, at least 1 unless
 * 0), otherwise a count.
 */
export function slotsOf(shareOrCount: number, budget: number): number {
  if (shareOrCount >= 1) return shareOrCount;
  // Products such as 100 · 0.29 lie just below the integer that they stand for.
  return shareOrCount === 0 ? 0 : Math.max(1, Math.floor(budget * shareOrCount + 1e-9));
}
