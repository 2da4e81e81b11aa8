import { keyBytes, SLOT_GROUP, valueBytes } from "../../kernels/sizes.ts";
import { roundUp } from "../../memory/handles.ts";
import { KV_TYPES } from "../kv_cache.ts";
import type { StorageEntry } from "../storage.ts";
import { CODEC_KIND, EXACT, planCodec } from "./codec.ts";

/** Widths of a pruned key: the plain types' blocks come in such steps. */
const KEY_STEP = 8;

/**
 * Keys without the channels that the prompt's last queries hardly use, chosen per KV head when the first tokens leave
 * the window; values as `kvType` says. The channels that stay are stored side by side, so that a key is narrower.
 */
export const think: StorageEntry = {
  name: "think",
  summary: "Keys without the channels that queries hardly use, in the type of keys; values as they are",
  source: "arXiv 2407.21018",
  cost: "(1 - prune) of a key's bytes, in steps of 8 channels; keys within the window whole",
  params: {
    prune: { default: 0.4, help: "Share of a key's channels to leave out", least: 0, most: 0.9 },
    window: {
      default: 32,
      help: "Latest keys that stay whole, and queries that choose the channels",
      least: 1,
      most: 4096,
      whole: true,
    },
    exact: EXACT,
  },
  plan(values, { hparams, types, chunk }) {
    const { headDim, valueDim } = hparams;
    // Products such as 50 · 0.58 lie just below the integer that they stand for.
    const kept = headDim - Math.floor(values.number("prune") * headDim + 1e-9);
    const [keyType, valueType] = [KV_TYPES[types.k], KV_TYPES[types.v]];
    return planCodec("think", values.all, hparams, {
      kind: CODEC_KIND.think,
      recent: values.number("window"),
      chunk,
      halves: values.text("exact") === "f16",
      params: [kept, keyType, valueType],
      keyWords: keyBytes(SLOT_GROUP, 1, roundUp(kept, KEY_STEP), keyType) / 4,
      valueWords: valueBytes(SLOT_GROUP, 1, valueDim, valueType) / 4,
      plainValues: valueType,
      stateWords: 3 * headDim,
    });
  },
};
