/**
 * What a forward and a backward pass over a window of text work in: all that one layer has made, and what entered each
 * layer. Pure: nothing is loaded yet.
 *
 * @module
 */
import { layPlain } from "../../cache/storage/plain.ts";
import type { Hparams } from "../../hparams.ts";
import type { AttentionTrace } from "../kernels/gradient_kernels.ts";
import { SLOT_GROUP } from "../../kernels/sizes.ts";
import {
  type Bytes,
  type Floats,
  type LayerCache,
  Layout,
  roundUp,
  type Words,
} from "../../memory/handles.ts";
import type { Weights } from "../../model/weights.ts";
import { layWorkspace, type Workspace } from "../../model/workspace.ts";

/** Rows of weights that are floats at a time. */
export const ROWS = 64;

/** Tokens whose logits are there at a time. */
export const HEAD_TOKENS = 64;

/** Buffers for a window of T tokens; letters as in `hparams.ts`. */
export interface GradientSpace {
  /** Where the forward pass runs, over the whole window at once. */
  readonly workspace: Workspace;
  /** Keys and values of one layer. */
  readonly cache: LayerCache;
  /** What enters each layer, `[T, D]`. */
  readonly hidden: readonly Floats[];
  /** Keys as they are before rotation, `[T, G, d]`. */
  readonly keys: Floats;
  /** Gradient of the loss with respect to the residual stream, and to what a norm has made of it, `[T, D]`. */
  readonly dx: Floats;
  readonly dNormed: Floats;
  /** To what the feed-forward's output is made of, `[T, F]`. */
  readonly dInner: Floats;
  readonly trace: AttentionTrace;
  /** Queries or keys before their norm, `[T, H, d]`. */
  readonly heads: Floats;
  /** Rotary tables that turn back. */
  readonly backTables: readonly Floats[];
  /** Weights as floats, and which rows they are. */
  readonly rows: Floats;
  readonly rowIds: Words;
  readonly targets: Words;
  /** `[HEAD_TOKENS, V]` */
  readonly logits: Floats;
  /** `[G, T, groups]`: what keys, or values, count. */
  readonly importance: Floats;
  /** For `repack` while weights load. */
  readonly scratch: Bytes;
}

/** Lays it out. @param channels Channels that share a code: a group. */
export function layGradients(
  hparams: Hparams,
  weights: Weights,
  nTokens: number,
  channels: number,
  layout: Layout,
): GradientSpace {
  const { dim, ffnDim, nLayers, nHeads, nKvHeads, headDim, valueDim, nVocab } = hparams;
  const workspace = layWorkspace(hparams, nTokens, layout);
  const stream = () => layout.floats(nTokens * dim);
  const capacity = roundUp(nTokens, SLOT_GROUP);
  const dq = layout.floats(nTokens * nHeads * headDim);
  const dk = layout.floats(nTokens * nKvHeads * headDim);
  const dv = layout.floats(nTokens * nKvHeads * valueDim);
  const { q, k, v, attended, logSums, ropeTables } = workspace;
  const widest = Math.max(dim, ffnDim, nHeads * valueDim);
  return {
    workspace,
    cache: layPlain(hparams, { k: "f32", v: "f32" }, capacity, layout, layout),
    hidden: Array.from({ length: nLayers }, stream),
    keys: layout.floats(dk.length),
    dx: stream(),
    dNormed: stream(),
    dInner: layout.floats(nTokens * ffnDim),
    trace: {
      q,
      k,
      v,
      attended,
      logSums,
      dAttended: layout.floats(attended.length),
      dq,
      dk,
      dv,
      mass: layout.floats(nTokens * nKvHeads),
    },
    heads: layout.floats(dq.length),
    backTables: ropeTables.map(({ length }) => layout.floats(length)),
    rows: layout.floats(ROWS * widest),
    rowIds: layout.words(ROWS),
    targets: layout.words(nTokens),
    logits: layout.floats(HEAD_TOKENS * nVocab),
    importance: layout.floats(Math.ceil(nTokens * nKvHeads * Math.max(headDim, valueDim) / channels)),
    scratch: layout.block(weights.scratchBytes),
  };
}
