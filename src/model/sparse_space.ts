/**
 * What a prompt that is read layer by layer works in; sequences share it, since one prompt at a time is read.
 *
 * @module
 */
import { KV_TYPES, type KvTypes } from "../cache/kv_cache.ts";
import type { Hparams } from "../hparams.ts";
import { keyBytes, SLOT_GROUP, slotsBytes, valueBytes } from "../kernels/sizes.ts";
import { type Floats, type LayerCache, type Layout, roundUp } from "../memory/handles.ts";

/** Tokens whose rows of logits are looked at together. */
const MAX_TILE = 16;
/** Most bytes of these rows, so that they stay in a cache of the processor. */
const TILE_BYTES = 2 ** 20;

/** Room for one layer's keys and values of a whole prompt, and for what all layers pass on. */
export interface SparseSpace {
  /** Keys and values of all tokens of the prompt in the layer at work. */
  readonly cache: LayerCache;
  /** The residual stream `[context, D]`. */
  readonly x: Floats;
  /** How much attention each slot gets `[capacity]`. */
  readonly mass: Floats;
  /** Logits `[H, tile, capacity]`. */
  readonly logits: Floats;
  readonly tile: number;
}

/** Lays it out for prompts of up to `context` tokens. */
export function laySparse(
  { dim, nHeads, nKvHeads, headDim: keyDim, valueDim }: Hparams,
  types: KvTypes,
  context: number,
  layout: Layout,
): SparseSpace {
  const capacity = roundUp(context, SLOT_GROUP);
  const [keyType, valueType] = [KV_TYPES[types.k], KV_TYPES[types.v]];
  const tile = Math.max(1, Math.min(MAX_TILE, Math.floor(TILE_BYTES / (4 * nHeads * capacity))));
  return Object.freeze({
    cache: Object.freeze({
      keys: layout.block(keyBytes(capacity, nKvHeads, keyDim, keyType)),
      values: layout.block(valueBytes(capacity, nKvHeads, valueDim, valueType)),
      slots: layout.block(slotsBytes(capacity, nKvHeads)),
      capacity,
      nKvHeads,
      keyDim,
      valueDim,
      keyType,
      valueType,
    }),
    x: layout.floats(context * dim),
    mass: layout.floats(capacity),
    logits: layout.floats(nHeads * tile * capacity),
    tile,
  });
}
