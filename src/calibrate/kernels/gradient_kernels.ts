/**
 * The kernels that reverse the steps of a forward pass, typed; see `src/kernels/kernels.ts`. The binary `calibrate` has them.
 *
 * @module
 */
import type { Floats, Words } from "../../memory/handles.ts";
import { check, offsetOf } from "../../kernels/arguments.ts";
import type { CalibrationExports } from "./calibration_exports.ts";

/** What attention of a text to itself has read and made, and gradients of it. T tokens, at positions 0 to T. */
export interface AttentionTrace {
  /** `[T, H, d]`, `[T, G, d]`, `[T, G, dv]`, rotated where the model rotates. */
  readonly q: Floats;
  readonly k: Floats;
  readonly v: Floats;
  /** `[T, H, dv]` */
  readonly attended: Floats;
  /** `[H, T]` */
  readonly logSums: Floats;
  readonly dAttended: Floats;
  readonly dq: Floats;
  readonly dk: Floats;
  readonly dv: Floats;
  /** `[G, T]`: attention that each token gets. */
  readonly mass: Floats;
}

/** How attention makes logits. */
export interface AttentionShape {
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly attentionScale: number;
  readonly attentionSoftcap: number;
}

/** Typed calls of one instance's kernels for gradients. T tokens, R rows, C columns, V vocabulary. */
export class GradientKernels {
  readonly #raw: CalibrationExports;

  constructor(raw: CalibrationExports) {
    this.#raw = raw;
  }

  /** dx [T, C] += dy [T, stride] from column `first` on · the rows w [R, C]. */
  linear(
    dx: Floats,
    w: Floats,
    dy: Floats,
    nTokens: number,
    nRows: number,
    nCols: number,
    stride: number,
    first: number,
  ): void {
    check(dx.length >= nTokens * nCols, "linear_back", "dx");
    check(w.length >= nRows * nCols, "linear_back", "w");
    check(first + nRows <= stride && dy.length >= nTokens * stride, "linear_back", "dy");
    this.#raw.linear_back(dx.offset, w.offset, dy.offset, nTokens, nRows, nCols, stride, first);
  }

  /** dy [T, n], n = weight.length, becomes the gradient before the norm of x [T, n]. */
  norm(dy: Floats, x: Floats, weight: Floats, nTokens: number, eps: number, centred: boolean): void {
    const n = weight.length;
    check(dy.length >= nTokens * n && x.length >= nTokens * n, "norm_back", "dy or x");
    this.#raw.norm_back(dy.offset, x.offset, weight.offset, nTokens, n, eps, centred ? 1 : 0);
  }

  /** dy [n] becomes the gradient before the activation of x, which is overwritten. */
  activate(dy: Floats, x: Floats, n: number, kind: number): void {
    check(dy.length >= n && x.length >= n, "activate_back", "dy or x");
    this.#raw.activate_back(dy.offset, x.offset, n, kind);
  }

  /** gate [n] and up [n] become their gradients, where dy is that of act(gate) · up. */
  gate(dy: Floats, gate: Floats, up: Floats, n: number, kind: number): void {
    check(dy.length >= n && gate.length >= n && up.length >= n, "gate_back", "dy, gate or up");
    this.#raw.gate_back(dy.offset, gate.offset, up.offset, n, kind);
  }

  /** dy [n] becomes 0 where x, held within ±limit, met it. */
  clamp(dy: Floats, x: Floats, n: number, limit: number): void {
    check(dy.length >= n && x.length >= n, "clamp_back", "dy or x");
    this.#raw.clamp_back(dy.offset, x.offset, n, limit);
  }

  /**
   * Logits [T, V] become gradients with respect to the products that they were made of, by their cross-entropy with the
   * tokens that follow.
   *
   * @param softcap 0: none.
   * @returns That cross-entropy, summed.
   */
  crossEntropy(
    logits: Floats,
    targets: Words,
    nTokens: number,
    nVocab: number,
    scale: number,
    softcap: number,
  ): number {
    check(
      logits.length >= nTokens * nVocab && targets.length >= nTokens,
      "cross_entropy_back",
      "logits or targets",
    );
    return this.#raw.cross_entropy_back(logits.offset, targets.offset, nTokens, nVocab, scale, softcap);
  }

  /** Writes the gradients of attention, and what attention each token gets. */
  attend(
    trace: AttentionTrace,
    shape: AttentionShape,
    slopes: Floats | null,
    nTokens: number,
    window: number,
  ): void {
    const { q, k, v, attended, logSums, dAttended, dq, dk, dv, mass } = trace;
    const { nHeads, nKvHeads, headDim, valueDim } = shape;
    const rows = (x: Floats, y: Floats, n: number) => x.length >= nTokens * n && y.length >= nTokens * n;
    check(rows(q, dq, nHeads * headDim), "attend_back", "q or dq");
    check(rows(k, dk, nKvHeads * headDim), "attend_back", "k or dk");
    check(rows(v, dv, nKvHeads * valueDim), "attend_back", "v or dv");
    check(rows(attended, dAttended, nHeads * valueDim), "attend_back", "attended or dAttended");
    check(rows(logSums, logSums, nHeads) && rows(mass, mass, nKvHeads), "attend_back", "logSums or mass");
    check(slopes === null || slopes.length === nHeads, "attend_back", "slopes");
    this.#raw.attend_back(
      dq.offset,
      dk.offset,
      dv.offset,
      mass.offset,
      q.offset,
      k.offset,
      v.offset,
      attended.offset,
      dAttended.offset,
      logSums.offset,
      offsetOf(slopes),
      nTokens,
      nHeads,
      nKvHeads,
      headDim,
      valueDim,
      shape.attentionScale,
      shape.attentionSoftcap,
      window,
    );
  }

  /** weights [heads, T, dim / channels] = the squares of gradients [T, heads, dim], summed over groups of channels. */
  squareGroups(
    weights: Floats,
    gradients: Floats,
    nTokens: number,
    nHeads: number,
    dim: number,
    channels: number,
  ): void {
    const n = nTokens * nHeads * dim;
    check(gradients.length >= n && weights.length >= n / channels, "square_groups", "weights or gradients");
    this.#raw.square_groups(weights.offset, gradients.offset, nTokens, nHeads, dim, channels);
  }
}
