/**
 * What a prompt that is read layer by layer works in; sequences share it, since one prompt at a time is read.
 *
 * @module
 */
import type { KvTypes } from "../cache/kv_cache.ts";
import { fittingRows } from "../cache/policy_space.ts";
import { layPlain } from "../cache/storage/plain.ts";
import type { Hparams } from "../hparams.ts";
import { SLOT_GROUP } from "../kernels/sizes.ts";
import { type Floats, type LayerCache, type Layout, roundUp } from "../memory/handles.ts";

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
  hparams: Hparams,
  types: KvTypes,
  context: number,
  layout: Layout,
): SparseSpace {
  const capacity = roundUp(context, SLOT_GROUP);
  const tile = fittingRows(hparams.nHeads, capacity);
  return Object.freeze({
    cache: layPlain(hparams, types, capacity, layout, layout),
    x: layout.floats(context * hparams.dim),
    mass: layout.floats(capacity),
    logits: layout.floats(hparams.nHeads * tile * capacity),
    tile,
  });
}
