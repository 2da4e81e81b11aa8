/**
 * The backward pass of a model, for calibration: gradients of the loss of a text with respect to its keys and values.
 * Each step is the reverse of the line of `model/forward.ts` of the same name; one layer's steps are made anew from what
 * entered it, so that memory holds one layer and the residual stream before each.
 *
 *     dx = gradient of the cross-entropy, through the output
 *     for each layer, last to first:
 *       dx += through norm, W_up, W_gate, act, W_down of dx
 *       dq, dk, dv = attention's, of W_oᵀ dx;  turn dq and dk back          dk and dv are what calibration wants
 *       dx += through norm, W_q, W_k, W_v of dq, dk, dv
 *
 * Weights stay as they are stored, a few rows at a time become floats. Activations are rounded where inference rounds them,
 * and gradients pass that rounding as if it weren't there.
 *
 * @module
 */
import { ACTIVATION } from "../../kernels/kernels.ts";
import type { CalibrationKernels } from "../kernels/calibration_kernels.ts";
import type { Floats } from "../../memory/handles.ts";
import {
  attention,
  multiply,
  type Network,
  normalise,
  outputLogits,
  type Part,
} from "../../model/forward.ts";
import type { Linear, Norm } from "../../model/weights.ts";
import { clearFloats, copyFloats, rowsOf } from "./floats.ts";
import { type GradientSpace, HEAD_TOKENS, ROWS } from "./space.ts";
import { rotate, type WindowStorage } from "./window_storage.ts";

/** A model on the binary that has gradients. */
export interface GradientNetwork extends Network {
  readonly kernels: CalibrationKernels;
}

/** The backward pass over one window after the other. Generators yield where other work may have its turn. */
export class Backward {
  readonly #parts: readonly Part[];
  readonly #n: number;

  constructor(
    private readonly net: GradientNetwork,
    private readonly space: GradientSpace,
    storage: WindowStorage,
  ) {
    this.#n = space.workspace.nTokens;
    this.#parts = [{ storage, watcher: null, desk: space.workspace, nTokens: this.#n }];
  }

  /** Attention of a layer over the window, as it was in the forward pass. */
  attention(layer: number): void {
    attention(this.net, this.space.workspace, layer, this.#n, this.#parts);
  }

  /**
   * dx [T, D] = gradient with respect to what leaves the last layer.
   *
   * @param ids The window's tokens.
   * @returns The loss: cross-entropy of all tokens but the first, summed.
   */
  *output(ids: readonly number[]): Generator<void, number> {
    const { net, space: { workspace, dx, dNormed, logits, targets } } = this;
    const { kernels, weights, hparams: { dim, nVocab, logitScale, finalSoftcap } } = net;
    const wanted = new Uint32Array(kernels.buffer, targets.offset, HEAD_TOKENS);
    clearFloats(kernels.buffer, dx, dx.length);
    let loss = 0;
    for (let row = 0; row < this.#n - 1; row += HEAD_TOKENS) {
      const n = Math.min(HEAD_TOKENS, this.#n - 1 - row);
      outputLogits(net, workspace, row, n, logits);
      wanted.set(ids.slice(row + 1, row + 1 + n));
      loss += kernels.gradient.crossEntropy(logits, targets, n, nVocab, logitScale, finalSoftcap);
      clearFloats(kernels.buffer, dNormed, n * dim);
      yield* this.#linear(dNormed, weights.output, logits, n);
      this.#norm(dNormed, rowsOf(workspace.x, row, n, dim), weights.outputNorm, n);
      copyFloats(kernels.buffer, rowsOf(dx, row, n, dim), dNormed, n * dim);
    }
    return loss;
  }

  /**
   * From dx behind a layer to dx before it. Midway, `visit` finds in the space the keys before rotation, the values, and the
   * gradients of both.
   */
  *layer(layer: number, visit: () => void): Generator<void> {
    const { net, space } = this;
    const { kernels, hparams, weights } = net;
    const { workspace, dx, dNormed, trace, backTables } = space;
    const width = this.#n * hparams.dim;
    const block = weights.blocks[layer];
    copyFloats(kernels.buffer, workspace.x, space.hidden[layer], width);
    this.attention(layer);
    yield;
    this.#openFeedForward(layer);
    yield;
    const parallel = hparams.residual === "parallel";
    if (parallel) yield* this.#attentionOutput(layer);
    yield* this.#feedForward(layer);
    if (!parallel) yield* this.#attentionOutput(layer);
    kernels.gradient.attend(trace, hparams, net.slopes, this.#n, hparams.windows[layer]);
    rotate(net, backTables, trace.dq, trace.dk, layer, this.#n);
    visit();
    yield;
    if (layer === 0) return;
    // What shares its norm with attention is there already.
    if (block.ffnNorm !== null) clearFloats(kernels.buffer, dNormed, width);
    yield* this.#heads(layer, block.q, block.qNorm, trace.dq);
    yield* this.#heads(layer, block.k, block.kNorm, trace.dk);
    if (hparams.clampQkv > 0) {
      kernels.gradient.clamp(trace.dv, trace.v, trace.dv.length, hparams.clampQkv);
    }
    yield* this.#linear(dNormed, block.v, trace.dv, this.#n);
    this.#norm(dNormed, space.hidden[layer], block.attnNorm, this.#n);
    kernels.add(dx, dNormed, width);
  }

  /** Products with W_up and W_gate, before activation. */
  #openFeedForward(layer: number): void {
    const { net, space: { workspace: ws } } = this;
    const block = net.weights.blocks[layer];
    if (block.ffnNorm !== null) normalise(net, ws.normed, ws.x, block.ffnNorm, this.#n, 0);
    if (block.upInt8) net.kernels.quantize(ws.quantized, ws.normed, this.#n, net.hparams.dim);
    multiply(net.kernels, ws.up, block.up, ws, ws.normed, this.#n);
    if (block.gate !== null) multiply(net.kernels, ws.gate, block.gate, ws, ws.normed, this.#n);
  }

  /** dAttended [T, H, dv] = dx through W_o. */
  *#attentionOutput(layer: number): Generator<void> {
    const { net: { kernels, weights }, space: { workspace: ws, dx, trace: { dAttended } } } = this;
    const { attnOut, postAttnNorm } = weights.blocks[layer];
    if (postAttnNorm !== null) this.#through(postAttnNorm, ws.normed, ws.projected);
    clearFloats(kernels.buffer, dAttended, dAttended.length);
    yield* this.#linear(dAttended, attnOut, postAttnNorm === null ? dx : ws.normed, this.#n);
  }

  /** dx += dx through the feed-forward; where that shares attention's norm, dNormed is what comes to the norm. */
  *#feedForward(layer: number): Generator<void> {
    const { net: { kernels, weights, hparams }, space: { workspace: ws, dx, dNormed, dInner } } = this;
    const { ffnNorm, gate, up, down, postFfnNorm } = weights.blocks[layer];
    const [width, inner] = [this.#n * hparams.dim, this.#n * hparams.ffnDim];
    const kind = ACTIVATION[hparams.activation];
    if (postFfnNorm !== null) {
      this.#feedForwardOutput(layer);
      this.#through(postFfnNorm, dNormed, ws.normed);
    }
    clearFloats(kernels.buffer, dInner, inner);
    yield* this.#linear(dInner, down, postFfnNorm === null ? dx : dNormed, this.#n);
    if (gate === null) kernels.gradient.activate(dInner, ws.up, inner, kind);
    else kernels.gradient.gate(dInner, ws.gate, ws.up, inner, kind);
    clearFloats(kernels.buffer, dNormed, width);
    yield* this.#linear(dNormed, up, gate === null ? dInner : ws.up, this.#n);
    if (gate !== null) yield* this.#linear(dNormed, gate, ws.gate, this.#n);
    if (ffnNorm === null) return;
    this.#norm(dNormed, ws.x, ffnNorm, this.#n);
    kernels.add(dx, dNormed, width);
  }

  /** normed [T, D] = the feed-forward's output before its norm. */
  #feedForwardOutput(layer: number): void {
    const { net: { kernels, weights, hparams }, space: { workspace: ws, dInner } } = this;
    const { gate, down } = weights.blocks[layer];
    const [inner, kind] = [this.#n * hparams.ffnDim, ACTIVATION[hparams.activation]];
    copyFloats(kernels.buffer, dInner, gate === null ? ws.up : ws.gate, inner);
    if (gate === null) kernels.activate(dInner, inner, kind);
    else kernels.gate(dInner, ws.up, inner, kind);
    if (down.weight.int8) kernels.quantize(ws.quantized, dInner, this.#n, hparams.ffnDim);
    multiply(kernels, ws.normed, down, ws, dInner, this.#n);
  }

  /** dNormed += dy of queries or keys, through their norm and limit and W_q or W_k. */
  *#heads(layer: number, linear: Linear, norm: Norm | null, dy: Floats): Generator<void> {
    const { net, space: { workspace: ws, hidden, heads, dNormed } } = this;
    const { kernels, hparams: { dim, clampQkv } } = net;
    const width = this.#n * linear.weight.nRows;
    if (norm !== null || clampQkv > 0) {
      normalise(net, ws.normed, hidden[layer], net.weights.blocks[layer].attnNorm, this.#n, 0);
      if (linear.weight.int8) kernels.quantize(ws.quantized, ws.normed, this.#n, dim);
      multiply(kernels, heads, linear, ws, ws.normed, this.#n);
      if (clampQkv > 0) kernels.clamp(heads, width, clampQkv);
      if (norm !== null) this.#norm(dy, heads, norm, width / norm.weight.length);
      if (clampQkv > 0) kernels.gradient.clamp(dy, heads, width, clampQkv);
    }
    yield* this.#linear(dNormed, linear, dy, this.#n);
  }

  /** out [T, D] = dx through a norm of x. */
  #through(norm: Norm, out: Floats, x: Floats): void {
    copyFloats(this.net.kernels.buffer, out, this.space.dx, this.#n * this.net.hparams.dim);
    this.#norm(out, x, norm, this.#n);
  }

  /** dy [n, width] through a norm of x; width is the norm's own. */
  #norm(dy: Floats, x: Floats, { weight }: Norm, n: number): void {
    const { kernels, hparams: { norm: { kind, eps } } } = this.net;
    kernels.gradient.norm(dy, x, weight, n, eps, kind === "layer");
  }

  /** dx [n, C] += dy [n, R] · w. */
  *#linear(dx: Floats, { weight }: Linear, dy: Floats, n: number): Generator<void> {
    const { net: { kernels }, space: { rows, rowIds } } = this;
    const { nRows, nCols } = weight;
    const ids = new Uint32Array(kernels.buffer, rowIds.offset, ROWS);
    for (let first = 0; first < nRows; first += ROWS) {
      const nChunk = Math.min(ROWS, nRows - first);
      for (let i = 0; i < nChunk; i++) ids[i] = first + i;
      kernels.dequantizeRows(rows, weight, rowIds, nChunk);
      kernels.gradient.linear(dx, rows, dy, n, nChunk, nCols, nRows, first);
      yield;
    }
  }
}
