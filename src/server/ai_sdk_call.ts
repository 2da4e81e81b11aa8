/**
 * What the AI SDK asks for, as a request of OpenAI's API would.
 *
 * @module
 */
import { ApiError } from "./api_error.ts";
import type { ChatRequest } from "./schemas.ts";

/** A part of a message. */
export interface Part {
  readonly type: string;
  readonly text?: string;
  readonly toolCallId?: string;
  readonly toolName?: string;
  readonly input?: unknown;
  readonly output?: { readonly type: string; readonly value?: unknown };
}

/** A tool that is offered. */
export interface CallTool {
  readonly type: string;
  readonly name: string;
  readonly description?: string;
  readonly inputSchema?: unknown;
}

/** A call, as the SDK makes it. */
export interface CallOptions {
  readonly prompt: readonly { readonly role: string; readonly content: string | readonly Part[] }[];
  readonly maxOutputTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly stopSequences?: readonly string[];
  readonly seed?: number;
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  readonly responseFormat?: { readonly type: string; readonly schema?: unknown };
  readonly tools?: readonly CallTool[];
  readonly toolChoice?: { readonly type: string; readonly toolName?: string };
  readonly abortSignal?: AbortSignal;
}

/** What is not done of what was asked for. */
export interface Warning {
  readonly type: "unsupported";
  readonly feature: string;
}

type Message = ChatRequest["messages"][number];

/** @throws {ApiError} When a message holds something else than text, calls and results. */
export function chatRequest(call: CallOptions): ChatRequest {
  const { toolChoice, responseFormat } = call;
  const tools = call.tools?.filter(({ type }) => type === "function").map((
    { name, description, inputSchema },
  ) => ({
    type: "function" as const,
    function: { name, description, parameters: inputSchema as Record<string, unknown> },
  }));
  return {
    messages: call.prompt.flatMap(messages),
    max_tokens: call.maxOutputTokens,
    temperature: call.temperature,
    top_p: call.topP,
    top_k: call.topK,
    stop: call.stopSequences as string[] | undefined,
    seed: call.seed,
    frequency_penalty: call.frequencyPenalty,
    presence_penalty: call.presencePenalty,
    tools,
    tool_choice: toolChoice?.type === "tool"
      ? { type: "function", function: { name: toolChoice.toolName! } }
      : toolChoice?.type as "auto" | "none" | "required" | undefined,
    response_format: responseFormat?.type !== "json"
      ? undefined
      : responseFormat.schema === undefined
      ? { type: "json_object" }
      : { type: "json_schema", json_schema: { schema: responseFormat.schema as Record<string, unknown> } },
  };
}

/** What was asked for and is not done. */
export function warnings({ tools = [] }: CallOptions): Warning[] {
  const others = tools.filter(({ type }) => type !== "function");
  return others.map(({ name }) => ({ type: "unsupported", feature: `tool ${name}` }));
}

/** One message, or a result of a call each. */
function messages({ role, content }: CallOptions["prompt"][number]): Message[] {
  if (typeof content === "string") return [{ role: role as Message["role"], content }];
  if (role === "tool") return content.map(toolResult);
  const text = content.flatMap((part) => part.type === "text" ? [part.text!] : []).join("");
  const calls = content.flatMap((part) =>
    part.type === "tool-call"
      ? [{
        id: part.toolCallId!,
        type: "function" as const,
        function: { name: part.toolName!, arguments: JSON.stringify(part.input) },
      }]
      : []
  );
  // what a model thought before is not read again
  const other = content.find(({ type }) => !["text", "tool-call", "reasoning"].includes(type));
  if (other !== undefined) throw unreadable(other);
  const message = { role: role as Message["role"], content: text };
  return [calls.length > 0 ? { ...message, tool_calls: calls } : message];
}

function toolResult(part: Part): Message {
  const { type, toolCallId, output } = part;
  if (type !== "tool-result" || output === undefined) throw unreadable(part);
  const { value } = output;
  const content = typeof value === "string" ? value : JSON.stringify(value ?? null);
  return { role: "tool", content, tool_call_id: toolCallId! };
}

const unreadable = ({ type }: Part) =>
  new ApiError(400, `${type} can't be read, only text, calls and their results`, "invalid_value", "prompt");
