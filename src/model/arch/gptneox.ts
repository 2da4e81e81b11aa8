import type { Architecture } from "./keys.ts";

/** GPT-NeoX and Pythia: halves of a block side by side, each with its norm; the first elements of a head rotate. */
export const gptneox: Architecture = (keys) => {
  const hparams = keys.gptLike();
  return {
    ...hparams,
    positions: "rope",
    rope: keys.rope("half", hparams.headDim),
    residual: keys.flag("use_parallel_residual", true) ? "parallel" : "sequential",
    activation: "gelu",
  };
};
