/**
 * Learns codebooks of a model's keys and values from a text, for coupled quantization: the text is read in windows, whose
 * exact keys and values are collected; then every group of channels of every KV head gets its centres by k-means.
 *
 * The paper weights each key and value with the squared gradient of the loss. Without a backward pass a token's weight is
 * the attention that it gets from the whole window: the gradient with respect to a key or value passes through just
 * that. Source: arXiv 2405.03917 §3.3.
 *
 * @module
 */
import type { Calibration } from "../cache/calibration.ts";
import { collected, collector } from "../cache/storage/collector.ts";
import { layTraining, trainBooks } from "../cache/storage/train_books.ts";
import { OptionError } from "../error.ts";
import { openModel } from "../gguf/mod.ts";
import type { Source } from "../gguf/source.ts";
import { instantiateKernels } from "../kernels/load.ts";
import { Arena } from "../memory/arena.ts";
import { Layout } from "../memory/handles.ts";
import { placeRegions, regionOffset } from "../memory/plan.ts";
import { dueTurn } from "../turn.ts";
import { loadModel, type LoadOptions, type Model } from "./engine.ts";
import { headerFingerprint } from "./header_fingerprint.ts";

/** How to calibrate. */
export interface CalibrateOptions extends Pick<LoadOptions, "kernels" | "binary" | "signal" | "maxBytes"> {
  /** Channels that share a code: 2, 4 or 8. Default 4. */
  readonly channels?: number;
  /** Bits of a code, 2 to 8. Default 8. */
  readonly bits?: number;
  /** Tokens of the text to learn from. Default 8,192. */
  readonly tokens?: number;
  /** Tokens of a window. Default: the model's context, at most 2,048. */
  readonly window?: number;
  /** Whether a token counts as much as the attention that it gets. Default `true`. */
  readonly weighted?: boolean;
  /** Called as windows are read and codebooks are learned. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** Tokens of a window at most, where nothing else is asked for. */
const WINDOW = 2048;
const TOKENS = 8192;

/** Steps of progress that one layer's keys or values take: the start and ten rounds. */
const STEPS = 11;

/** Keys or values of one layer, `[G, n, dim]`, and their weights `[G, n]`. */
interface Points {
  readonly dim: number;
  readonly points: Float32Array;
  readonly weights: Float32Array;
}

/**
 * Learns the codebooks of a model.
 *
 * @throws {OptionError} When an option is out of bounds, or the text has too few tokens for so many centres.
 */
export async function calibrate(
  source: Source,
  text: string,
  options: CalibrateOptions,
): Promise<Calibration & { readonly books: Uint16Array<ArrayBuffer> }> {
  const { channels = 4, bits = 8, tokens = TOKENS, signal } = options;
  if (![2, 4, 8].includes(channels)) throw new OptionError("channels", channels, "2, 4 or 8");
  if (!(Number.isInteger(bits) && bits >= 2 && bits <= 8)) throw new OptionError("bits", bits, "2 to 8");
  const centres = 2 ** bits;
  const file = await openModel(source, { signal });
  file.close();
  const model = headerFingerprint(file.model);
  const all = await collect(source, text, tokens, options);
  const { nLayers, nKvHeads, headDim, valueDim } = all.hparams;
  if (all.n < centres) {
    throw new OptionError("text", `${all.n} tokens`, `at least ${centres}, as many as there are centres`);
  }
  const books = await learn(all.layers, { nKvHeads, n: all.n, channels, centres }, options, all.windows);
  return { model, nLayers, nKvHeads, headDim, valueDim, channels, centres, books };
}

/** Keys and values of all layers over as many windows as the text and `tokens` have. */
async function collect(source: Source, text: string, tokens: number, options: CalibrateOptions) {
  const { kernels, binary, signal, maxBytes, weighted = true, onProgress } = options;
  const load = (context: number | undefined) =>
    loadModel(source, {
      kernels,
      binary,
      signal,
      maxBytes,
      context,
      storage: collector,
      // Scores are sums of attention; nothing is dropped.
      ...(weighted && { policy: "h2o", budget: 1, prefill: "whole" }),
    });
  const wanted = options.window ?? WINDOW;
  const model = await load(options.window);
  const { hparams } = model;
  const ids = model.tokenizer.encode(text, { addSpecial: false });
  const window = Math.min(wanted, model.plan.context);
  const windows = Math.floor(Math.min(tokens, ids.length) / window);
  if (windows === 0) throw new OptionError("text", `${ids.length} tokens`, `at least a window of ${window}`);
  const n = windows * window;
  const { nKvHeads } = hparams;
  const layers = Array.from(
    { length: hparams.nLayers },
    () =>
      [hparams.headDim, hparams.valueDim].map((dim): Points => ({
        dim,
        points: new Float32Array(nKvHeads * n * dim),
        weights: new Float32Array(nKvHeads * n).fill(1),
      })),
  );
  const sequence = model.sequence();
  for (let w = 0; w < windows; w++) {
    sequence.reset();
    await sequence.prefill(ids.slice(w * window, (w + 1) * window), { signal });
    keep(model, sequence.logits().buffer, layers, w * window, window, n);
    onProgress?.({ done: w + 1, total: windows + 2 * hparams.nLayers * STEPS });
  }
  model.dispose();
  return { layers, hparams, n, windows };
}

/** Copies what a window has left in the caches behind the `at` tokens collected before. */
function keep(
  { plan: { sequences: [{ cache, scores }] } }: Model,
  buffer: ArrayBufferLike,
  layers: readonly (readonly Points[])[],
  at: number,
  window: number,
  n: number,
): void {
  for (const [layer, parts] of layers.entries()) {
    const { nKvHeads, capacity } = cache[layer];
    for (let head = 0; head < nKvHeads; head++) {
      for (const [i, { dim, points, weights }] of parts.entries()) {
        const rows = collected(buffer, cache[layer], i === 0 ? "keys" : "values", head, window);
        points.set(rows, (head * n + at) * dim);
        if (scores.length === 0) continue;
        const mass = new Float32Array(buffer, scores[layer].offset + 4 * head * capacity, window);
        weights.set(mass, head * n + at);
      }
    }
  }
}

/** Codebooks of all layers, keys before values, as floats of 16 bits. */
async function learn(
  layers: readonly (readonly Points[])[],
  sizes: {
    readonly nKvHeads: number;
    readonly n: number;
    readonly channels: number;
    readonly centres: number;
  },
  { kernels: modules, binary = "simd128", signal, onProgress }: CalibrateOptions,
  before: number,
): Promise<Uint16Array<ArrayBuffer>> {
  const dims = layers[0].map(({ dim }) => dim);
  // Keys and values use the same room, one after the other.
  const lay = (base: number) => {
    const layouts = dims.map(() => new Layout(base));
    const trainings = dims.map((dim, i) => layTraining({ ...sizes, dim, weightGroups: 1 }, layouts[i]));
    const rest = layouts.reduce((a, b) => a.end > b.end ? a : b);
    return {
      trainings,
      halves: rest.block(2 * Math.max(...trainings.map(({ books }) => books.length))),
      end: rest.end,
    };
  };
  const memory = placeRegions([{ name: "training", bytes: lay(0).end }]);
  const kernels = await instantiateKernels(await modules(binary), memory.totalBytes);
  const arena = new Arena(kernels.buffer, memory);
  const { trainings, halves } = lay(regionOffset(memory, "training"));
  const lengths = trainings.map(({ books }) => books.length);
  const books = new Uint16Array(layers.length * lengths.reduce((a, b) => a + b));
  const total = before + layers.length * dims.length * STEPS;
  let [end, done] = [0, before];
  for (const parts of layers) {
    for (const [i, { points, weights }] of parts.entries()) {
      const training = trainings[i];
      arena.floats(training.points).set(points);
      arena.floats(training.weights).set(weights);
      let step = 0;
      for (const _ of trainBooks(kernels, training, sizes.centres)) {
        onProgress?.({ done: done + ++step, total });
        await dueTurn();
        signal?.throwIfAborted();
      }
      done += STEPS;
      kernels.codec.halveBooks(halves, training.books, lengths[i]);
      books.set(new Uint16Array(kernels.buffer, halves.offset, lengths[i]), end);
      end += lengths[i];
    }
  }
  onProgress?.({ done: total, total });
  return books;
}
