import type { Architecture } from "./keys.ts";

/** GPT-2 and Cerebras-GPT: layer norms, learned positions, GELU without a gate. */
export const gpt2: Architecture = (keys) => keys.gptLike();
