import { gemma } from "./gemma.ts";
import type { Architecture } from "./keys.ts";

/** Layers of the 27B size, the one whose queries are scaled by D / H rather than by the width of a head. */
const WIDE_LAYERS = 62;

/** Gemma 3: five layers in six have a window, and rotary positions unscaled and of another base; query, key norms. */
export const gemma3: Architecture = (keys) => {
  const hparams = gemma(keys);
  const { dim, nHeads, nLayers, attentionScale } = hparams;
  const rope = { ...hparams.rope!, base: keys.scalar("rope.freq_base", 1e6, 1) };
  return {
    ...hparams,
    attentionScale: nLayers === WIDE_LAYERS ? 1 / Math.sqrt(dim / nHeads) : attentionScale,
    windows: keys.windows(nLayers, 1024, 6),
    rope,
    localRope: { ...rope, base: keys.scalar("rope.freq_base_swa", 10000, 1), scaling: { kind: "none" } },
  };
};
