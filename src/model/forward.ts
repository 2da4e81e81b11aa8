/**
 * The forward pass. Tokens enter as ids and positions in a workspace; `embed` makes them the residual stream x,
 * every layer adds its attention and its feed-forward to x, `outputLogits` turns rows of x into logits:
 *
 *     x = embedding[ids]
 *     for each layer:
 *       q, k, v = W_q·norm(x), W_k·norm(x), W_v·norm(x);  rotate q and k by position;  cache += k, v
 *       x += W_o · attend(q, cache)
 *       x += W_down · (act(W_gate·norm(x)) * W_up·norm(x))
 *     logits = W_output · norm(x)
 *
 * What differs between architectures is told by `Hparams` and by the weights that are there. Each line below is one
 * kernel over all tokens and heads; nothing allocates. Shapes are beside the buffers in `workspace.ts`, the letters
 * in `hparams.ts`. Source: arXiv 1706.03762; arXiv 2302.13971 §2.2 for the variant above.
 *
 * @module
 */
import type { Watcher } from "../cache/cache_keeper.ts";
import type { AttentionDesk, KvStorage } from "../cache/storage.ts";
import { type Hparams, ropeIndex } from "../hparams.ts";
import { ACTIVATION, type Kernels, ROPE_STYLE } from "../kernels/kernels.ts";
import type { Bytes, Floats } from "../memory/handles.ts";
import type { Linear, Norm, Weights } from "./weights.ts";
import type { Workspace } from "./workspace.ts";

/** A loaded model: its kernels, its sizes, and where its weights and tables lie. */
export interface Network {
  readonly kernels: Kernels;
  readonly hparams: Hparams;
  readonly weights: Weights;
  /** Of `hparams.rope` and, where there is one, `hparams.localRope`. */
  readonly frequencies: readonly Floats[];
  readonly slopes: Floats | null;
  /** The class of each token `[V]`, where the policy asks for classes. */
  readonly classes: Bytes | null;
}

/** The tokens of one sequence among those of a call, which lie side by side. */
export interface Part {
  readonly storage: KvStorage;
  /** Sees the logits of the rows it wants. */
  readonly watcher: Watcher | null;
  /** Where its tokens lie: the part of the workspace's buffers that attention reads and writes. */
  readonly desk: AttentionDesk;
  readonly nTokens: number;
}

/** x [n, D] = embedding of the ids, and this call's rotary tables. */
export function embed(net: Network, ws: Workspace, n: number): void {
  const { kernels, hparams: { dim, embeddingScale }, weights } = net;
  kernels.dequantizeRows(ws.x, weights.embedding, ws.ids, n);
  if (embeddingScale !== 1) kernels.scale(ws.x, n * dim, embeddingScale);
  if (weights.positionEmbedding !== null) {
    kernels.dequantizeRows(ws.normed, weights.positionEmbedding, ws.positions, n);
    kernels.add(ws.x, ws.normed, n * dim);
  }
  rotaryTables(net, ws, n);
}

/** The rotary tables of n positions. */
export function rotaryTables({ kernels, hparams, frequencies }: Network, ws: Workspace, n: number): void {
  const { rope, localRope } = hparams;
  if (rope) kernels.ropeTable(ws.ropeTables[0], ws.positions, frequencies[0], n, rope.magnitude);
  if (localRope) kernels.ropeTable(ws.ropeTables[1], ws.positions, frequencies[1], n, localRope.magnitude);
}

/**
 * x += attention over the layer's caches, to which the n tokens of all parts are appended first. Each part attends to
 * its own cache; what goes through weights goes through them once for all.
 */
export function attention(
  net: Network,
  ws: Workspace,
  layer: number,
  n: number,
  parts: readonly Part[],
): void {
  const { kernels, hparams } = net;
  const { nHeads, nKvHeads, valueDim } = hparams;
  const block = net.weights.blocks[layer];

  attentionInput(net, ws, layer, n);
  queries(net, ws, layer, n);
  keysAndValues(net, ws, layer, n);
  // By index: iterators would be most of the garbage that a token leaves.
  for (let i = 0; i < parts.length; i++) {
    const { watcher, desk, nTokens } = parts[i];
    watcher?.gather(layer, desk.q, desk.positions, nTokens);
  }
  // Otherwise they are rotated when they are read.
  if (parts[0].storage.layers[layer].rotation === undefined) {
    rotate(net, ws, layer, ws.q, n, nHeads);
    rotate(net, ws, layer, ws.k, n, nKvHeads);
  }
  for (let i = 0; i < parts.length; i++) {
    const { storage, watcher, desk, nTokens } = parts[i];
    watcher?.echo(layer, desk, nTokens);
    storage.append(layer, desk, nTokens);
    attendWatched(desk, layer, storage, nTokens, watcher);
    watcher?.closeLayer(layer);
  }

  if (block.attnOut.weight.int8) kernels.quantize(ws.quantized, ws.attended, n, nHeads * valueDim);
  // Side by side, the feed-forward must still read the x that attention read; it adds both.
  if (hparams.residual === "parallel") multiply(kernels, ws.projected, block.attnOut, ws, ws.attended, n);
  else addProduct(net, ws, block.attnOut, ws.attended, block.postAttnNorm, n);
}

/** What queries, keys and values are made of. */
export function attentionInput(net: Network, ws: Workspace, layer: number, n: number): void {
  const block = net.weights.blocks[layer];
  normalise(net, ws.normed, ws.x, block.attnNorm, n, 0);
  if (block.qkvInt8) net.kernels.quantize(ws.quantized, ws.normed, n, net.hparams.dim);
}

/** q [n, H, d], not rotated yet. */
export function queries(net: Network, ws: Workspace, layer: number, n: number): void {
  const { kernels, hparams: { nHeads, headDim, clampQkv } } = net;
  const block = net.weights.blocks[layer];
  multiply(kernels, ws.q, block.q, ws, ws.normed, n);
  if (clampQkv > 0) kernels.clamp(ws.q, n * nHeads * headDim, clampQkv);
  if (block.qNorm !== null) normalise(net, ws.q, ws.q, block.qNorm, n * nHeads, 0);
}

/** k [n, G, d], not rotated yet, and v [n, G, dv]. */
export function keysAndValues(net: Network, ws: Workspace, layer: number, n: number): void {
  const { kernels, hparams: { nKvHeads, headDim, valueDim, clampQkv } } = net;
  const block = net.weights.blocks[layer];
  multiply(kernels, ws.k, block.k, ws, ws.normed, n);
  multiply(kernels, ws.v, block.v, ws, ws.normed, n);
  if (clampQkv > 0) {
    kernels.clamp(ws.k, n * nKvHeads * headDim, clampQkv);
    kernels.clamp(ws.v, n * nKvHeads * valueDim, clampQkv);
  }
  if (block.kNorm !== null) normalise(net, ws.k, ws.k, block.kNorm, n * nKvHeads, 0);
}

/** Turns q or k [n, heads, d] by their positions, where the model has a rope. */
export function rotate(
  net: Network,
  ws: Workspace,
  layer: number,
  x: Floats,
  n: number,
  heads: number,
): void {
  const { kernels, hparams } = net;
  const { rope, headDim } = hparams;
  if (rope === undefined) return;
  const table = ws.ropeTables[ropeIndex(hparams, layer)];
  kernels.rope(x, table, n, heads, headDim, rope.dims, ROPE_STYLE[rope.style]);
}

/** attended [n, H, dv] = attention of q over the cache; a watcher gets the rows that it wants, a tile at a time. */
export function attendWatched(
  desk: AttentionDesk,
  layer: number,
  storage: KvStorage,
  n: number,
  watcher: Watcher | null,
): void {
  watcher?.appended(layer, desk.ids, desk.positions, n);
  const unseen = watcher === null ? n : watcher.firstRow;
  if (unseen > 0) storage.attend(layer, desk, 0, unseen, null);
  for (let first = unseen; first < n; first += watcher!.tile) {
    const nTokens = Math.min(watcher!.tile, n - first);
    storage.attend(layer, desk, first, nTokens, watcher!.scratch);
    watcher!.observe(layer, desk.positions, first, nTokens);
  }
}

/** x += feed-forward of x. */
export function feedForward(net: Network, ws: Workspace, layer: number, n: number): void {
  const { kernels, hparams } = net;
  const { dim, ffnDim } = hparams;
  const block = net.weights.blocks[layer];
  const kind = ACTIVATION[hparams.activation];

  if (block.ffnNorm !== null) normalise(net, ws.normed, ws.x, block.ffnNorm, n, 0);
  if (block.upInt8) kernels.quantize(ws.quantized, ws.normed, n, dim);
  multiply(kernels, ws.up, block.up, ws, ws.normed, n);
  let hidden = ws.up;
  if (block.gate === null) kernels.activate(hidden, n * ffnDim, kind);
  else {
    hidden = ws.gate;
    multiply(kernels, hidden, block.gate, ws, ws.normed, n);
    kernels.gate(hidden, ws.up, n * ffnDim, kind);
  }
  if (block.down.weight.int8) kernels.quantize(ws.quantized, hidden, n, ffnDim);
  addProduct(net, ws, block.down, hidden, block.postFfnNorm, n);
  if (hparams.residual === "parallel") kernels.add(ws.x, ws.projected, n * dim);
}

/** logits [n, V] of n rows of x from `row` on. */
export function outputLogits(net: Network, ws: Workspace, row: number, n: number, logits: Floats): void {
  const { kernels, hparams, weights } = net;
  const { dim, nVocab, logitScale, finalSoftcap } = hparams;
  normalise(net, ws.normed, ws.x, weights.outputNorm, n, row);
  if (weights.output.weight.int8) kernels.quantize(ws.quantized, ws.normed, n, dim);
  multiply(kernels, logits, weights.output, ws, ws.normed, n);
  if (logitScale !== 1) kernels.scale(logits, n * nVocab, logitScale);
  if (finalSoftcap > 0) kernels.softcap(logits, n * nVocab, finalSoftcap);
}

/** sum [D] += the final hidden states, after the output norm, of the first n rows of x. */
export function addHidden(net: Network, ws: Workspace, n: number, sum: Floats): void {
  normalise(net, ws.normed, ws.x, net.weights.outputNorm, n, 0);
  net.kernels.addRows(sum, ws.normed, n);
}

/** out [n, width] = norm of n rows of x from `row` on; width is the norm's own, so heads are rows too. */
export function normalise(net: Network, out: Floats, x: Floats, norm: Norm, n: number, row: number): void {
  const { kind, eps } = net.hparams.norm;
  if (kind === "rms") net.kernels.rmsnorm(out, x, norm.weight, n, eps, row);
  else net.kernels.layernorm(out, x, norm.weight, norm.bias, n, eps, row);
}

/** out [n, R] = x · wᵀ + bias; x must be in `ws.quantized` too where the weights read int8. */
export function multiply(
  kernels: Kernels,
  out: Floats,
  linear: Linear,
  ws: Workspace,
  x: Floats,
  n: number,
): void {
  kernels.matmul(out, linear.weight, linear.weight.int8 ? ws.quantized : x, n);
  if (linear.bias !== null) kernels.addBias(out, linear.bias, n);
}

/** ws.x [n, D] += postNorm(input · wᵀ + bias). */
function addProduct(
  net: Network,
  ws: Workspace,
  linear: Linear,
  input: Floats,
  postNorm: Norm | null,
  n: number,
): void {
  const { kernels, hparams } = net;
  if (postNorm === null) {
    kernels.matmul(ws.x, linear.weight, linear.weight.int8 ? ws.quantized : input, n, true);
    if (linear.bias !== null) kernels.addBias(ws.x, linear.bias, n);
  } else {
    multiply(kernels, ws.projected, linear, ws, input, n);
    normalise(net, ws.normed, ws.projected, postNorm, n, 0);
    kernels.add(ws.x, ws.normed, n * hparams.dim);
  }
}
