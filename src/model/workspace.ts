/**
 * The buffers that a call's tokens pass through. Each is written and read within one layer, but for `x`.
 *
 * @module
 */
import type { AttentionDesk } from "../cache/storage.ts";
import type { Hparams } from "../hparams.ts";
import { quantizedBytes } from "../kernels/sizes.ts";
import { type Bytes, type Floats, Layout, type Words } from "../memory/handles.ts";

/** Buffers for up to `nTokens` tokens at once. */
export interface Workspace {
  readonly nTokens: number;
  readonly ids: Words;
  readonly positions: Words;
  /** The residual stream `[T, D]`. */
  readonly x: Floats;
  /** A block's normed input, or its output before a post-norm, `[T, D]`. */
  readonly normed: Floats;
  readonly projected: Floats;
  /** What a product with quantised weights reads: any of the others as int8 blocks. */
  readonly quantized: Bytes;
  /** `[T, H, d]`, `[T, G, d]`, `[T, G, dv]`, `[T, H, dv]`. */
  readonly q: Floats;
  readonly k: Floats;
  readonly v: Floats;
  readonly attended: Floats;
  /** `[T, F]` each. */
  readonly gate: Floats;
  readonly up: Floats;
  /** Cosines and sines `[T, dims / 2, 2]` of the model's one or two ropes. */
  readonly ropeTables: readonly Floats[];
  /** log Σ exp of each row of attention logits, `[H, T]`. */
  readonly logSums: Floats;
}

/** The part of a workspace that attention of its i-th token alone works in; log sums are left where all others are. */
export function rowDesk(ws: Workspace, i: number): AttentionDesk {
  const row = (all: Floats): Floats => {
    const length = all.length / ws.nTokens;
    return Object.freeze({ kind: "f32", offset: all.offset + 4 * length * i, length });
  };
  const word = ({ offset }: Words): Words =>
    Object.freeze({ kind: "u32" as const, offset: offset + 4 * i, length: 1 });
  return Object.freeze({
    q: row(ws.q),
    k: row(ws.k),
    v: row(ws.v),
    ids: word(ws.ids),
    positions: word(ws.positions),
    attended: row(ws.attended),
    logSums: ws.logSums,
  });
}

/** Lays out a workspace. */
export function layWorkspace(hparams: Hparams, nTokens: number, activations: Layout): Workspace {
  const { dim, ffnDim, nHeads, nKvHeads, headDim, valueDim } = hparams;
  const ropes = hparams.positions === "rope" ? (hparams.localRope === undefined ? 1 : 2) : 0;
  const widest = Math.max(dim, ffnDim, nHeads * valueDim);
  return Object.freeze({
    nTokens,
    ids: activations.words(nTokens),
    positions: activations.words(nTokens),
    x: activations.floats(nTokens * dim),
    normed: activations.floats(nTokens * dim),
    projected: activations.floats(nTokens * dim),
    quantized: activations.block(nTokens * quantizedBytes(widest)),
    q: activations.floats(nTokens * nHeads * headDim),
    k: activations.floats(nTokens * nKvHeads * headDim),
    v: activations.floats(nTokens * nKvHeads * valueDim),
    attended: activations.floats(nTokens * nHeads * valueDim),
    gate: activations.floats(hparams.gated ? nTokens * ffnDim : 0),
    up: activations.floats(nTokens * ffnDim),
    ropeTables: Array.from({ length: ropes }, () => activations.floats(nTokens * hparams.rope!.dims)),
    logSums: activations.floats(nTokens * nHeads),
  });
}
