import { keyBytes, slotsBytes, valueBytes } from "../../kernels/sizes.ts";
import type { Hparams } from "../../hparams.ts";
import type { Floats, LayerCache, Layout } from "../../memory/handles.ts";
import { KV_TYPES, type KvTypes } from "../kv_cache.ts";
import type { AttentionDesk, AttentionRules, KvStorage, StorageEntry } from "../storage.ts";

/** Keys and values as `kvType` says: floats of 32 or 16 bits, or blocks of 8 or 4. */
export const plain: StorageEntry = {
  name: "plain",
  summary: "Keys and values as floats or blocks, each slot by itself",
  source: "",
  cost: "as the type of keys and values: 4 or 2 bytes a number, or 1 or 0.5 and scales",
  params: {},
  plan: (values, { hparams, types }) => {
    return {
      name: "plain",
      params: values.all,
      lay: (capacities, kv, slots) =>
        capacities.map((capacity) => layPlain(hparams, types, capacity, kv, slots)),
      open: (rules, layers) => new PlainStorage(rules, layers),
    };
  },
};

/** One layer's keys and values as they are, and their slots. */
export function layPlain(
  { nKvHeads, headDim: keyDim, valueDim }: Hparams,
  types: KvTypes,
  capacity: number,
  kv: Layout,
  slots: Layout,
): LayerCache {
  const [keyType, valueType] = [KV_TYPES[types.k], KV_TYPES[types.v]];
  return Object.freeze({
    keys: kv.block(keyBytes(capacity, nKvHeads, keyDim, keyType)),
    values: kv.block(valueBytes(capacity, nKvHeads, valueDim, valueType)),
    slots: slots.block(slotsBytes(capacity, nKvHeads)),
    capacity,
    nKvHeads,
    keyDim,
    valueDim,
    keyType,
    valueType,
  });
}

/** Stores with one kernel and reads with another. */
export class PlainStorage implements KvStorage {
  constructor(readonly rules: AttentionRules, readonly layers: readonly LayerCache[]) {}

  append(layer: number, desk: AttentionDesk, n: number): void {
    this.rules.kernels.cache.append(this.layers[layer], desk.k, desk.v, desk.positions, n);
  }

  attend(layer: number, desk: AttentionDesk, first: number, n: number, scores: Floats | null): void {
    const window = this.rules.hparams.windows[layer];
    attendSlots(this.rules, this.layers[layer], desk, first, n, scores, window);
  }
}

/**
 * attended [n, H, dv] = attention of `n` queries on the desk from `first` on, each over the slots that it may see of the
 * latest `window` positions (0: of all).
 *
 * @param scores Receives the weights `[H, n, capacity]`, up to a factor per row, where somebody wants them.
 */
export function attendSlots(
  { kernels, hparams: { nHeads, attentionScale, attentionSoftcap }, slopes }: AttentionRules,
  cache: LayerCache,
  desk: AttentionDesk,
  first: number,
  n: number,
  scores: Floats | null,
  window: number,
): void {
  kernels.cache.attend(
    desk.attended,
    scores,
    desk.logSums,
    desk.q,
    cache,
    desk.positions,
    slopes,
    n,
    nHeads,
    attentionScale,
    attentionSoftcap,
    window,
    first,
  );
}
