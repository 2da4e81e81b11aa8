import type { Architecture } from "./keys.ts";

/** Gemma 1: embedding scaled by √D, gated GELU. Files hold norm weights with the one already added. */
export const gemma: Architecture = (keys) => {
  const hparams = keys.llamaLike("half");
  return { ...hparams, activation: "geluTanh", embeddingScale: Math.sqrt(hparams.dim) };
};
