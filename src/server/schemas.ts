/**
 * What requests may hold. Fields that are not named here are ignored, as OpenAI's clients send many that mean nothing to
 * this server; what asks for something that it can't do is refused.
 *
 * @module
 */
import * as v from "valibot";
import { ApiError } from "./api_error.ts";

const optional = <T extends v.GenericSchema>(schema: T) => v.nullish(schema);
const number = (least: number, most: number) =>
  optional(v.pipe(v.number(), v.minValue(least), v.maxValue(most)));
const integer = (least: number, most: number) =>
  optional(v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most)));
const only = <T extends string | number | boolean>(value: T, message: string) =>
  optional(v.literal(value, message));

const sampling = {
  model: optional(v.string()),
  max_tokens: integer(1, 2 ** 31),
  temperature: number(0, 100),
  top_p: number(0, 1),
  top_k: integer(0, 256),
  min_p: number(0, 1),
  repeat_penalty: number(0.01, 100),
  frequency_penalty: number(-2, 2),
  presence_penalty: number(-2, 2),
  logit_bias: optional(
    v.record(v.pipe(v.string(), v.digits()), v.pipe(v.number(), v.minValue(-100), v.maxValue(100))),
  ),
  stop: optional(v.union([
    v.pipe(v.string(), v.minLength(1)),
    v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.maxLength(16)),
  ])),
  seed: integer(-1, Number.MAX_SAFE_INTEGER),
  n: only(1, "only one choice can be asked for"),
  stream: optional(v.boolean()),
  stream_options: optional(v.object({ include_usage: optional(v.boolean()) })),
  cache_prompt: optional(v.boolean()),
};

const textPart = v.object({ type: v.literal("text", "only text can be read"), text: v.string() });

const message = v.looseObject({
  role: v.picklist(["system", "developer", "user", "assistant", "tool"]),
  content: optional(v.union([v.string(), v.array(textPart)])),
});

const chat = v.object({
  ...sampling,
  messages: v.pipe(v.array(message), v.minLength(1)),
  max_completion_tokens: integer(1, 2 ** 31),
  logprobs: optional(v.boolean()),
  top_logprobs: integer(0, 20),
  response_format: optional(v.object({ type: v.literal("text", "only text can be asked for") })),
  tools: optional(v.pipe(v.array(v.unknown()), v.maxLength(0, "tools can't be called"))),
});

const completion = v.object({
  ...sampling,
  prompt: v.union([
    v.string(),
    v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(0))), v.minLength(1)),
    v.pipe(v.array(v.string()), v.length(1, "only one prompt can be given")),
  ]),
  logprobs: integer(0, 5),
  echo: only(false, "the prompt can't be echoed"),
  best_of: only(1, "only one choice can be asked for"),
  suffix: only("", "text can't be inserted"),
});

export type ChatRequest = v.InferOutput<typeof chat>;
export type CompletionRequest = v.InferOutput<typeof completion>;
export type SamplingRequest = Pick<ChatRequest & CompletionRequest, keyof typeof sampling>;

/** @throws {ApiError} 400 that names the first field which is not as it should be. */
function reader<T extends v.GenericSchema>(schema: T): (body: unknown) => v.InferOutput<T> {
  return (body) => {
    const { success, output, issues } = v.safeParse(schema, body);
    if (success) return output;
    const [{ message }] = issues;
    const path = v.getDotPath(issues[0]);
    throw new ApiError(400, path === null ? message : `${path}: ${message}`, "invalid_value", path);
  };
}

/** Reads the body of `POST /v1/chat/completions`. */
export const readChat: (body: unknown) => ChatRequest = reader(chat);

/** Reads the body of `POST /v1/completions`. */
export const readCompletion: (body: unknown) => CompletionRequest = reader(completion);
