import type { Architecture } from "./keys.ts";

/** What Gemma 2 and 3 share: embedding scaled by √D, gated GELU. Files hold norm weights with the one already added. */
export const gemma: Architecture = (keys) => {
  const hparams = keys.llamaLike("half");
  return { ...hparams, activation: "geluTanh", embeddingScale: Math.sqrt(hparams.dim) };
};
