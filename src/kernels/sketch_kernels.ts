/**
 * The kernels of sketches of a cache, typed; see `kernels.ts`. T tokens, H heads, G KV heads, d width of a key.
 *
 * @module
 */
import type { Floats, LayerCache, Words } from "../memory/handles.ts";
import { check, offsetOf } from "./arguments.ts";
import type { KernelExports } from "./exports.ts";

/** Sizes of a sketch. */
export interface SketchShape {
  readonly clusters: number;
  /** Of each cluster; 0: folded, without samples of keys and values. */
  readonly keySamples: number;
  readonly valueSamples: number;
}

/** The sketches of all KV heads of a layer. */
export interface Sketch extends SketchShape {
  readonly words: Words;
  readonly floats: Floats;
}

/** Draws in place of hashed ones, `[G, positions, keySamples + valueSamples]`. */
export interface GivenDraws {
  readonly values: Floats;
  readonly positions: number;
}

/** Words and floats of one KV head's sketch, as the kernels lay it out. */
export function sketchSizes(
  { clusters, keySamples, valueSamples }: SketchShape,
  keyDim: number,
  valueDim: number,
): { words: number; floats: number } {
  const ofCluster = keyDim * (1 + keySamples) + (keySamples === 0 ? valueDim : 0);
  return {
    words: 4 + clusters * (2 + keySamples) + valueSamples,
    floats: clusters * ofCluster + valueSamples * (keyDim + valueDim),
  };
}

/** Typed calls of one instance's sketch kernels. */
export class SketchKernels {
  readonly #raw: KernelExports;

  constructor(raw: KernelExports) {
    this.#raw = raw;
  }

  /** Moves the tokens at positions below `before` from the cache into the sketch. */
  feed(
    sketch: Sketch,
    cache: LayerCache,
    before: number,
    layer: number,
    { seed, delta, scale }: { seed: number; delta: number; scale: number },
    given: GivenDraws | null,
  ): void {
    const { words, floats, clusters, keySamples, valueSamples } = sketch;
    const { keys, values, slots, nKvHeads, keyDim, valueDim, capacity, keyType, valueType } = cache;
    checkSketch(sketch, cache, "sketch_feed");
    const stride = keySamples + valueSamples;
    check(
      given === null || given.values.length >= nKvHeads * given.positions * stride,
      "sketch_feed",
      "draws",
    );
    this.#raw.sketch_feed(
      words.offset,
      floats.offset,
      keys.offset,
      values.offset,
      slots.offset,
      offsetOf(given?.values),
      before,
      nKvHeads,
      keyDim,
      valueDim,
      capacity,
      clusters,
      keySamples,
      valueSamples,
      given === null ? 0 : given.positions,
      keyType,
      valueType,
      seed,
      layer,
      delta,
      scale,
    );
  }

  /** Joins the sketch to attention over the slots, out [T, H, dv] from `first` on and lse [H, T]. */
  read(
    out: Floats,
    lse: Floats,
    q: Floats,
    sketch: Sketch,
    cache: LayerCache,
    first: number,
    n: number,
    nHeads: number,
    scale: number,
  ): void {
    const { words, floats, clusters, keySamples, valueSamples } = sketch;
    const { nKvHeads, keyDim, valueDim } = cache;
    checkSketch(sketch, cache, "sketch_read");
    check(out.length >= (first + n) * nHeads * valueDim, "sketch_read", "out");
    check(lse.length >= n * nHeads, "sketch_read", "lse");
    check(q.length >= (first + n) * nHeads * keyDim, "sketch_read", "q");
    this.#raw.sketch_read(
      out.offset + 4 * first * nHeads * valueDim,
      lse.offset,
      q.offset + 4 * first * nHeads * keyDim,
      words.offset,
      floats.offset,
      n,
      nHeads,
      nKvHeads,
      keyDim,
      valueDim,
      clusters,
      keySamples,
      valueSamples,
      scale,
    );
  }
}

function checkSketch(sketch: Sketch, { nKvHeads, keyDim, valueDim }: LayerCache, kernel: string): void {
  const { words, floats } = sketchSizes(sketch, keyDim, valueDim);
  check(sketch.words.length >= nKvHeads * words, kernel, "words");
  check(sketch.floats.length >= nKvHeads * floats, kernel, "floats");
}
