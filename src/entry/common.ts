/**
 * The names that every entry point shares: all but `loadModel`, which finds the kernels as its host allows.
 *
 * @module
 */
export type { LoadModelOptions } from "../runtime/load_model.ts";
export { planModel } from "../runtime/plan_model.ts";
export type { FileInput, ModelInput } from "../runtime/open_source.ts";
export type { SourceOptions } from "../runtime/source_options.ts";
export type { UrlOptions } from "../runtime/url_file.ts";
export { CachedSource, cachedSource } from "../runtime/cached/cached_source.ts";
export type { CachedFileReport } from "../runtime/cached/cached_file.ts";
export type { ModelStore } from "../runtime/cached/model_store.ts";
export { type CacheApi, cacheStore } from "../runtime/cached/cache_store.ts";
export type { RangeReader } from "../runtime/range_file.ts";
export { type OpenShard, openShards, type ShardManifest } from "../runtime/shards.ts";
export type { Progress, Source } from "../gguf/source.ts";

export { generate } from "../generate.ts";
export { chatPrompt } from "../generate/chat_prompt.ts";
export { generateAll, type SharedOptions } from "../generate/generate_all.ts";
export type { Generation } from "../generate/generation.ts";
export type {
  FinishReason,
  GenerateOptions,
  GenerationResult,
  GenerationTimings,
  TokenEvent,
} from "../generate/options.ts";
export type { Logprobs, TokenLogprob } from "../sample/logprobs.ts";
export type { SamplingOptions } from "../sample/options.ts";
export type { Constraint } from "../sample/constraint.ts";
export type { JsonSchema } from "../structured/mod.ts";
export { Session } from "../session/session.ts";
export type { SessionStore, SnapshotChunks } from "../stores/store.ts";

export type { Model } from "../model/engine.ts";
export type { StepCounts } from "../model/steps.ts";
export type { ModelPlan, PlanOptions } from "../model/plan.ts";
export type { PrefillOptions } from "../model/prompt.ts";
export type { Sequence } from "../model/sequence.ts";
export type { CacheReport, KeptShare } from "../cache/cache_report.ts";
export type { CacheOptions } from "../cache/cache_plan.ts";
export type { HeldTokens } from "../cache/cache_keeper.ts";
export { everyNSteps, perLayer, pyramid } from "../cache/wrappers.ts";
export type {
  Keep,
  Moment,
  ObservedLayer,
  ObserveOptions,
  Policy,
  PolicyValue,
  ReducedLayer,
} from "../cache/policy.ts";
export type { KvTypeName, KvTypes } from "../cache/kv_cache.ts";
export type { Hparams } from "../hparams.ts";
export type { Binary, KernelModules } from "../kernels/load.ts";
export { applyChatTemplate, type ChatMessage, type ChatOptions, type Tokenizer } from "../tokenizer/mod.ts";
export type { DecodeOptions, EncodeOptions } from "../tokenizer/tokenizer.ts";
export type { Metadata } from "../gguf/metadata.ts";

export {
  CpuLimitError,
  GgufError,
  KernelError,
  MemoryBudgetError,
  OptionError,
  type RegionBytes,
  SnapshotError,
  SourceError,
  UnsupportedModelError,
} from "../error.ts";
