import type { Architecture } from "./keys.ts";

/** Qwen 2 and 2.5: biases on queries, keys and values. */
export const qwen2: Architecture = (keys) => keys.llamaLike("half");
