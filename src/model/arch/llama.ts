import type { Architecture } from "./keys.ts";

/** Llama 1 to 3, Mistral, TinyLlama, SmolLM2. Files hold queries and keys permuted, so that adjacent pairs rotate. */
export const llama: Architecture = (keys) => {
  const hparams = keys.llamaLike("adjacent");
  // Llama 3.1 and later: the frequencies' divisors come as a tensor.
  if (!keys.tensors.has("rope_freqs.weight")) return hparams;
  return { ...hparams, rope: { ...hparams.rope!, factorsTensor: "rope_freqs.weight" } };
};
