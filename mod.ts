/**
 * Locket runs language models from GGUF files in WebAssembly, in memory that is fixed before the first weight is read.
 *
 * ```ts
 * import { generate, loadModel } from "@locket/locket";
 *
 * const model = await loadModel("models/locket-books-q8_0.gguf", { maxBytes: 16e6 });
 * const { text } = await generate(model, "The old house", { maxTokens: 16 }).result();
 * console.log(text);
 * model.dispose();
 * ```
 *
 * @module
 */
export { loadModel, type LoadModelOptions, planModel } from "./src/runtime/load_model.ts";
export type { FileInput, ModelInput, SourceOptions } from "./src/runtime/open_source.ts";
export type { RangeReader } from "./src/runtime/range_file.ts";
export type { Progress } from "./src/gguf/source.ts";

export { generate } from "./src/generate.ts";
export type { Generation } from "./src/generate/generation.ts";
export type {
  FinishReason,
  GenerateOptions,
  GenerationResult,
  GenerationTimings,
  TokenEvent,
} from "./src/generate/options.ts";
export type { Logprobs, TokenLogprob } from "./src/sample/logprobs.ts";
export type { SamplingOptions } from "./src/sample/options.ts";
export { Session } from "./src/session/session.ts";

export type { Model } from "./src/model/engine.ts";
export type { ModelPlan, PlanOptions } from "./src/model/plan.ts";
export type { CacheReport, PrefillOptions, Sequence } from "./src/model/sequence.ts";
export type { KvTypeName, KvTypes } from "./src/cache/kv_cache.ts";
export type { Hparams } from "./src/hparams.ts";
export type { Binary, KernelModules } from "./src/kernels/load.ts";
export {
  applyChatTemplate,
  type ChatMessage,
  type ChatOptions,
  type Tokenizer,
} from "./src/tokenizer/mod.ts";

export {
  GgufError,
  KernelError,
  MemoryBudgetError,
  OptionError,
  type RegionBytes,
  SourceError,
  UnsupportedModelError,
} from "./src/error.ts";
