/**
 * `POST /v1/completions`.
 *
 * @module
 */
import { encodePrompt } from "../generate/encode_prompt.ts";
import { checkId, type TokenEvent } from "../generate/options.ts";
import type { Model } from "../model/engine.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import type { Shape } from "./answer.ts";
import { finite } from "./chat.ts";
import { samplingOptions } from "./sampling.ts";
import type { CompletionRequest } from "./schemas.ts";
import type { Task } from "./service.ts";
import { NO_TOOLS, replyConstraint } from "./tools/functions.ts";

/** Tokens of a reply when nobody says how many, as OpenAI has it. */
const MAX_TOKENS = 16;

/**
 * The prompt and options of a request.
 *
 * @throws {OptionError} When an id is no token.
 */
export function completionTask({ tokenizer }: Model, request: CompletionRequest): Task {
  const [first] = request.prompt;
  const text = typeof request.prompt === "string"
    ? request.prompt
    : typeof first === "string"
    ? first
    : undefined;
  const ids = text === undefined ? request.prompt as number[] : encodePrompt(tokenizer, text);
  for (const id of ids) checkId("prompt", id, tokenizer.nVocab);
  return {
    ids,
    options: {
      ...samplingOptions(request, request.max_tokens ?? MAX_TOKENS),
      logprobs: request.logprobs ?? false,
      constraint: replyConstraint(tokenizer, NO_TOOLS, request.response_format),
    },
    cachePrompt: request.cache_prompt ?? true,
  };
}

/** How completions are written. */
export function completionShape(tokenizer: Tokenizer): Shape {
  let offset = 0;
  const name = (id: number) => new TextDecoder().decode(tokenizer.tokenBytes(id));
  const logprobsOf = (events: readonly TokenEvent[]) => {
    if (events.every(({ logprobs }) => logprobs === undefined)) return null;
    const offsets = events.map(({ text }) => (offset += text.length) - text.length);
    return {
      tokens: events.map(({ id }) => name(id)),
      token_logprobs: events.map(({ logprobs }) => finite(logprobs!.logprob)),
      top_logprobs: events.map(({ logprobs }) =>
        Object.fromEntries(logprobs!.top.map(({ id, logprob }) => [name(id), finite(logprob)]))
      ),
      text_offset: offsets,
    };
  };
  const choice = (text: string, events: readonly TokenEvent[], finishReason: string | null) => ({
    index: 0,
    text,
    logprobs: logprobsOf(events),
    finish_reason: finishReason,
  });
  return {
    prefix: "cmpl",
    object: "text_completion",
    chunkObject: "text_completion",
    opening: () => [],
    chunk: (event) =>
      event.text === "" && event.logprobs === undefined ? [] : [choice(event.text, [event], null)],
    closing: (finishReason) => [choice("", [], finishReason)],
    whole: choice,
  };
}
