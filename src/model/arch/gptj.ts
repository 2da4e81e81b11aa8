import type { Architecture } from "./keys.ts";

/** GPT-J: both halves of a block read one norm; the first elements of a head rotate, in adjacent pairs. */
export const gptj: Architecture = (keys) => {
  const hparams = keys.gptLike();
  return {
    ...hparams,
    positions: "rope",
    rope: keys.rope("adjacent", hparams.headDim),
    residual: "parallel",
  };
};
