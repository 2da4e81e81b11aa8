/**
 * Where the index of a fixed prefix lies.
 *
 * @module
 */
import { type Level, lookupRoom } from "../../kernels/cluster_kernels.ts";
import type { Floats, LayerCache, Layout, Words } from "../../memory/handles.ts";
import { layActive } from "./active.ts";

/** Clusters of `n` points. */
export function clustersOf(share: number, n: number): number {
  return share === 0 ? 0 : Math.max(1, Math.floor(share * n));
}

/** What the index of a layer lies in. */
export interface SqueezedState {
  /** `[G, k, d]`, `[G, k + 1]`, of both levels. */
  readonly centroids: Floats;
  readonly starts: Words;
  readonly coarseCentroids: Floats;
  readonly coarseStarts: Words;
  /** What calibrating queries want of each cluster `[G, k]`, in place of which nothing has to be kept afterwards. */
  readonly wanted: Floats;
  readonly coarseWanted: Floats;
}

/** What layers share while an index is made and read. */
export interface SqueezedScratch {
  /** Probabilities `[G, k]`, and room to look up in. */
  readonly scores: Floats;
  readonly coarseScores: Floats;
  readonly room: Floats;
  /** Of one KV head: directions `[n, d]`, centres `[k, d]`, distances `[n]`; of all: labels `[G, n]`. */
  readonly rows: Floats;
  readonly centres: Floats;
  readonly distances: Floats;
  readonly labels: Words;
  /** Order of clusters `[k]`, and the coarse cluster of each `[G, k]`. */
  readonly order: Words;
  readonly groups: Words;
}

/** Lays out the index of a prefix of which at most `n` tokens are clustered. */
export function laySqueezed(
  layers: readonly LayerCache[],
  kv: Layout,
  n: number,
  share: number,
  coarse: number,
): LayerCache[] {
  const [{ nKvHeads, keyDim }] = layers;
  const [k, kCoarse] = [clustersOf(share, n), clustersOf(coarse, n)];
  const active = layActive(layers, kv);
  const scratch: SqueezedScratch = {
    scores: kv.floats(nKvHeads * k),
    coarseScores: kv.floats(nKvHeads * kCoarse),
    room: kv.floats(lookupRoom(k)),
    rows: kv.floats(n * keyDim),
    centres: kv.floats(k * keyDim),
    labels: kv.words(nKvHeads * n),
    distances: kv.floats(Math.max(n, k)),
    order: kv.words(k),
    groups: kv.words(nKvHeads * k),
  };
  return layers.map((cache) => {
    const state: SqueezedState = {
      centroids: kv.floats(nKvHeads * k * keyDim),
      starts: kv.words(nKvHeads * (k + 1)),
      coarseCentroids: kv.floats(nKvHeads * kCoarse * keyDim),
      coarseStarts: kv.words(nKvHeads * (kCoarse + 1)),
      wanted: kv.floats(nKvHeads * k),
      coarseWanted: kv.floats(nKvHeads * kCoarse),
    };
    return Object.freeze({
      ...cache,
      active,
      state: { ...cache.state, ...state },
      scratch: { ...cache.scratch, ...scratch },
    });
  });
}

/** What the layers of `laySqueezed` share. */
export function scratchOf(cache: LayerCache): SqueezedScratch {
  return cache.scratch as unknown as SqueezedScratch;
}

/** The index of a layer of `laySqueezed`. */
export function stateOf(cache: LayerCache): SqueezedState {
  return cache.state as unknown as SqueezedState;
}

/** The fine clusters of a layer of `laySqueezed`, of which there are `k`. */
export function levelOf(cache: LayerCache, k: number): Level {
  const { centroids, starts } = stateOf(cache);
  return { centroids, starts, k };
}

/** The coarse clusters of one, of which there are `k`. */
export function coarseLevelOf(cache: LayerCache, k: number): Level {
  const { coarseCentroids, coarseStarts } = stateOf(cache);
  return { centroids: coarseCentroids, starts: coarseStarts, k };
}
