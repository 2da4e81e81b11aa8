/**
 * `POST /v1/chat/completions`.
 *
 * @module
 */
import { chatPrompt } from "../generate/chat_prompt.ts";
import type { TokenEvent } from "../generate/options.ts";
import type { Metadata } from "../gguf/metadata.ts";
import type { Model } from "../model/engine.ts";
import { TEMPLATE } from "../tokenizer/chat.ts";
import type { ChatMessage, Tokenizer } from "../tokenizer/mod.ts";
import type { Shape } from "./answer.ts";
import { ApiError } from "./api_error.ts";
import { samplingOptions } from "./sampling.ts";
import type { ChatRequest } from "./schemas.ts";
import type { Task } from "./service.ts";
import { knowsTools, type ToolFormat, toolFormat } from "./tools/formats.ts";
import { type FunctionTool, replyConstraint } from "./tools/functions.ts";
import { type TextMessage, withParsedCalls, withToolText } from "./tools/messages.ts";
import { CallParser, type ReplyPart } from "./tools/parser.ts";

/** What a request comes to: its prompt, and how the reply is to be read. */
export interface ChatPlan {
  readonly task: Task;
  /** Takes calls out of the reply; `undefined` where there can't be any. */
  readonly parser: CallParser | undefined;
}

/**
 * Plans the answer to a request.
 *
 * @param template In place of the model's own.
 * @throws {ApiError} When there is no template, or a function is chosen that is not there.
 * @throws {OptionError} When the template refuses the messages, or a schema can't be held to.
 */
export function planChat(model: Model, request: ChatRequest, template: string | undefined): ChatPlan {
  const text = template ?? templateOf(model.metadata);
  const format = toolFormat(text);
  const tools = request.tools ?? [];
  const choice = request.tool_choice ?? "auto";
  if (tools.length === 0 && choice !== "auto" && choice !== "none") {
    throw new ApiError(400, "There are no tools to choose from", "invalid_value", "tool_choice");
  }
  if (request.top_logprobs != null && !request.logprobs) {
    throw new ApiError(400, "top_logprobs asks for logprobs: true", "invalid_value", "top_logprobs");
  }
  const shown = choice === "none" ? [] : tools;
  const parallel = request.parallel_tool_calls ?? true;
  const constraint = replyConstraint(
    model.tokenizer,
    { tools, choice, parallel, format },
    request.response_format,
  );
  const task = {
    ids: chatPrompt(model, shownMessages(request.messages.map(textMessage), shown, text, format), {
      template,
      ...(shown.length > 0 && knowsTools(text) && { tools: shown }),
    }),
    options: {
      ...samplingOptions(request, request.max_completion_tokens ?? request.max_tokens),
      logprobs: request.logprobs ? request.top_logprobs ?? 0 : false,
      constraint,
    },
    cachePrompt: request.cache_prompt ?? true,
  };
  const parser = shown.length > 0
    ? new CallParser(format, shown.map((tool) => tool.function.name))
    : undefined;
  return { task, parser };
}

function textMessage(
  { role, content, tool_calls: calls, ...more }: ChatRequest["messages"][number],
): TextMessage {
  return {
    ...more,
    ...(calls && calls.length > 0 ? { tool_calls: calls } : {}),
    role: role === "developer" ? "system" : role,
    content: Array.isArray(content) ? content.map(({ text }) => text).join("") : content ?? "",
  };
}

/** Messages as the template takes them: calls and functions written out where it knows none. */
function shownMessages(
  messages: readonly TextMessage[],
  tools: readonly FunctionTool[],
  template: string,
  format: ToolFormat,
): readonly ChatMessage[] {
  if (knowsTools(template)) return withParsedCalls(messages);
  const spoken = messages.some(({ role, tool_calls: calls }) => role === "tool" || calls !== undefined);
  return tools.length > 0 || spoken ? withToolText(messages, tools, format) : messages;
}

/** @throws {ApiError} When there is none. */
function templateOf(metadata: Metadata): string {
  if (metadata.has(TEMPLATE)) return metadata.string(TEMPLATE);
  const message = "The model has no chat template; use /v1/completions";
  throw new ApiError(400, message, "model_not_capable", "messages");
}

/** How chat completions are written. */
export function chatShape(tokenizer: Tokenizer, parser?: CallParser): Shape {
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
  const parts = (text: string): ReplyPart[] => parser?.push(text) ?? (text === "" ? [] : [{ text }]);
  const rest = (): ReplyPart[] => parser?.flush() ?? [];
  const ended = (reason: string) => reason === "stop" && (parser?.calls ?? 0) > 0 ? "tool_calls" : reason;
  let calls = 0;
  const delta = (part: ReplyPart): unknown => {
    if ("text" in part) return { content: part.text };
    if ("arguments" in part) {
      return { tool_calls: [{ index: calls - 1, function: { arguments: part.arguments } }] };
    }
    return { tool_calls: [{ index: calls++, ...newCall(part.call) }] };
  };
  return {
    prefix: "chatcmpl",
    object: "chat.completion",
    chunkObject: "chat.completion.chunk",
    opening: () => [choice({ role: "assistant", content: "" }, null)],
    chunk: (event) => {
      const deltas = parts(event.text).map(delta);
      const logprobs = logprobsOf([event]);
      if (deltas.length === 0 && logprobs !== null) deltas.push({ content: "" });
      return deltas.map((delta, i) => choice(delta, null, i === 0 ? logprobs : null));
    },
    closing: (finishReason) => [
      ...rest().map((part) => choice(delta(part), null)),
      choice({}, ended(finishReason)),
    ],
    whole: (text, events, finishReason) => {
      const all = [...parts(text), ...rest()];
      const content = all.map((part) => "text" in part ? part.text : "").join("");
      const toolCalls = wholeCalls(all);
      return {
        index: 0,
        message: {
          role: "assistant",
          content: toolCalls.length > 0 && content === "" ? null : content,
          refusal: null,
          ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
        },
        logprobs: logprobsOf(events),
        finish_reason: ended(finishReason),
      };
    },
  };
}

/** A call that begins, with an id of its own. */
export const newCall = (name: string) => ({
  id: `call_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`,
  type: "function" as const,
  function: { name, arguments: "" },
});

/** The calls of a reply, put together. */
function wholeCalls(parts: readonly ReplyPart[]) {
  const calls: ReturnType<typeof newCall>[] = [];
  for (const part of parts) {
    if ("call" in part) calls.push(newCall(part.call));
    else if ("arguments" in part) calls[calls.length - 1].function.arguments += part.arguments;
  }
  return calls;
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
