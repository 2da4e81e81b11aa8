import type { Architecture } from "./keys.ts";

/** Falcon with rotary positions: halves of a block side by side behind one norm or two, few KV heads. */
export const falcon: Architecture = (keys) => {
  const hparams = keys.gptLike();
  return {
    ...hparams,
    positions: "rope",
    rope: keys.rope("half", hparams.headDim),
    residual: "parallel",
    activation: "gelu",
  };
};
