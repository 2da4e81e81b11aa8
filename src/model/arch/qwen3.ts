import type { Architecture } from "./keys.ts";

/** Qwen 3: norms over query and key heads, no biases. */
export const qwen3: Architecture = (keys) => keys.llamaLike("half");
