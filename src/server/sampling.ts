import type { GenerateOptions } from "../generate/options.ts";
import type { SamplingRequest } from "./schemas.ts";

/** What a request says about the choice of tokens, in the engine's words. Temperature 1 unless it says otherwise. */
export function samplingOptions(
  request: SamplingRequest,
  maxTokens: number | null | undefined,
): GenerateOptions {
  const { seed } = request;
  return {
    maxTokens: maxTokens ?? undefined,
    temperature: request.temperature ?? 1,
    topP: request.top_p ?? undefined,
    topK: request.top_k ?? undefined,
    minP: request.min_p ?? undefined,
    repetitionPenalty: request.repeat_penalty ?? undefined,
    frequencyPenalty: request.frequency_penalty ?? undefined,
    presencePenalty: request.presence_penalty ?? undefined,
    logitBias: request.logit_bias as Record<number, number> | undefined ?? undefined,
    stop: request.stop ?? undefined,
    seed: seed === -1 ? undefined : seed ?? undefined,
  };
}
