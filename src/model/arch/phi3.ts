import type { Architecture } from "./keys.ts";

/** Phi-3 and 3.5: queries, keys and values in one tensor, gate and up in another, longrope factors beyond 4k. */
export const phi3: Architecture = (keys) => {
  const hparams = keys.llamaLike("half");
  if (!keys.tensors.has("rope_factors_short.weight")) return hparams;
  const original = keys.count("rope.scaling.original_context_length", hparams.nContext);
  const factors = keys.context > original ? "long" : "short";
  return { ...hparams, rope: { ...hparams.rope!, factorsTensor: `rope_factors_${factors}.weight` } };
};
