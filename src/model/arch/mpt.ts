import type { Architecture } from "./keys.ts";

/** MPT: ALiBi, most of them without any bias. */
export const mpt: Architecture = (keys) => ({
  ...keys.gptLike(),
  positions: "alibi",
  alibiMaxBias: keys.scalar("attention.max_alibi_bias", 8),
  activation: "gelu",
});
