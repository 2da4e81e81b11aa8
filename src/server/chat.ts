/**
 * `POST /v1/chat/completions`.
 *
 * @module
 */
import { encodePrompt } from "../generate/encode_prompt.ts";
import type { TokenEvent } from "../generate/options.ts";
import { Metadata } from "../gguf/metadata.ts";
import type { Model } from "../model/engine.ts";
import { applyChatTemplate, type ChatMessage, type Tokenizer } from "../tokenizer/mod.ts";
import type { Shape } from "./answer.ts";
import { ApiError } from "./api_error.ts";
import { samplingOptions } from "./sampling.ts";
import type { ChatRequest } from "./schemas.ts";
import type { Task } from "./service.ts";

const TEMPLATE = "tokenizer.chat_template";

/**
 * The prompt and options of a request.
 *
 * @param template In place of the model's own.
 * @throws {ApiError} When there is no template.
 * @throws {OptionError} When the template refuses the messages.
 */
export function chatTask(model: Model, request: ChatRequest, template: string | undefined): Task {
  const messages = request.messages.map(({ role, content, ...more }) => ({
    ...more,
    role: role === "developer" ? "system" : role,
    content: Array.isArray(content) ? content.map(({ text }) => text).join("") : content ?? "",
  }));
  return {
    ids: chatIds(model, messages, template),
    options: {
      ...samplingOptions(request, request.max_completion_tokens ?? request.max_tokens),
      logprobs: request.logprobs ? request.top_logprobs ?? 0 : false,
    },
    cachePrompt: request.cache_prompt ?? true,
  };
}

/** The tokens of a conversation up to where the model's turn begins. Throws as {@link chatTask} does. */
export function chatIds(
  model: Model,
  messages: readonly ChatMessage[],
  template: string | undefined,
): number[] {
  const text = applyChatTemplate(withTemplate(model.metadata, template), messages);
  return encodePrompt(model.tokenizer, text, { parseSpecial: true });
}

function withTemplate(metadata: Metadata, template: string | undefined): Metadata {
  if (template === undefined) {
    if (metadata.has(TEMPLATE)) return metadata;
    throw new ApiError(
      400,
      "The model has no chat template; use /v1/completions",
      "model_not_capable",
      "messages",
    );
  }
  const keys = [...metadata.keys()].filter((key) => key !== TEMPLATE);
  const entries = keys.map((key) =>
    [key, { value: metadata.get(key)!, offset: metadata.offset(key) }] as const
  );
  return new Metadata(new Map([...entries, [TEMPLATE, { value: template, offset: 0 }]]));
}

/** How chat completions are written. */
export function chatShape(tokenizer: Tokenizer): Shape {
  const choice = (delta: unknown, finishReason: string | null, logprobs: unknown = null) => ({
    index: 0,
    delta,
    logprobs,
    finish_reason: finishReason,
  });
  const logprobsOf = (events: readonly TokenEvent[]) =>
    events.some(({ logprobs }) => logprobs !== undefined)
      ? { content: events.map((event) => tokenLogprob(tokenizer, event)), refusal: null }
      : null;
  return {
    prefix: "chatcmpl",
    object: "chat.completion",
    chunkObject: "chat.completion.chunk",
    opening: () => choice({ role: "assistant", content: "" }, null),
    chunk: (event) => choice({ content: event.text }, null, logprobsOf([event])),
    closing: (finishReason) => choice({}, finishReason),
    whole: (text, events, finishReason) => ({
      index: 0,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: logprobsOf(events),
      finish_reason: finishReason,
    }),
  };
}

function tokenLogprob(tokenizer: Tokenizer, { id, logprobs }: TokenEvent) {
  const entry = (id: number, logprob: number) => {
    const bytes = tokenizer.tokenBytes(id);
    return { token: new TextDecoder().decode(bytes), logprob: finite(logprob), bytes: Array.from(bytes) };
  };
  return {
    ...entry(id, logprobs!.logprob),
    top_logprobs: logprobs!.top.map((rival) => entry(rival.id, rival.logprob)),
  };
}

/** JSON knows no infinity; OpenAI says -9999 for a token that can't come. */
export const finite = (logprob: number): number => Math.max(-9999, logprob);
