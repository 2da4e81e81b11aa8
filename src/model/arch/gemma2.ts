import { gemma } from "./gemma.ts";
import type { Architecture } from "./keys.ts";

/** Layers of the 27B size, the one whose queries are scaled by D / H rather than by the width of a head. */
const WIDE_LAYERS = 46;

/** Gemma 2: every other layer has a window; soft caps; norms before and behind both halves of a block. */
export const gemma2: Architecture = (keys) => {
  const hparams = gemma(keys);
  const { dim, nHeads, nLayers, attentionScale } = hparams;
  return {
    ...hparams,
    attentionScale: nLayers === WIDE_LAYERS ? 1 / Math.sqrt(dim / nHeads) : attentionScale,
    attentionSoftcap: keys.scalar("attn_logit_softcapping", 50),
    finalSoftcap: keys.scalar("final_logit_softcapping", 30),
    windows: keys.windows(nLayers, 4096, 2),
  };
};
