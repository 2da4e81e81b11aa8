/**
 * What requests may hold. A field that is not named here is refused by its name, so that nothing asked for is passed over
 * in silence; those that OpenAI's clients send and that mean nothing to this server are let through.
 *
 * @module
 */
import * as v from "valibot";
import { ApiError } from "./api_error.ts";
import { checkDepth } from "./depth.ts";

const optional = <T extends v.GenericSchema>(schema: T) => v.nullish(schema);
const number = (least: number, most: number) =>
  optional(v.pipe(v.number(), v.minValue(least), v.maxValue(most)));
const integer = (least: number, most: number) =>
  optional(v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most)));
const only = <T extends string | number | boolean>(value: T, message: string) =>
  optional(v.literal(value, message));
const record = v.record(v.string(), v.unknown());

/** Bookkeeping of OpenAI's own service. */
const HARMLESS = new Set([
  ...["user", "metadata", "store", "service_tier", "safety_identifier", "prediction"],
  ...["prompt_cache_key", "prompt_cache_retention"],
]);

/** The conversation that goes on, and what no request can change, as memory is planned for it: it may be named. */
const locket = v.strictObject({
  session: optional(v.string()),
  policy: optional(v.string()),
  budget: optional(v.union([v.number(), v.string()])),
  kv_type: optional(v.union([v.string(), v.strictObject({ k: v.string(), v: v.string() })])),
});

const responseFormat = v.variant("type", [
  v.strictObject({ type: v.literal("text") }),
  v.strictObject({ type: v.literal("json_object") }),
  v.strictObject({
    type: v.literal("json_schema"),
    json_schema: v.strictObject({
      name: optional(v.string()),
      description: optional(v.string()),
      schema: v.union([v.boolean(), record]),
      strict: optional(v.boolean()),
    }),
  }),
]);

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
  stream_options: optional(
    v.strictObject({ include_usage: optional(v.boolean()), include_obfuscation: optional(v.boolean()) }),
  ),
  cache_prompt: optional(v.boolean()),
  response_format: optional(responseFormat),
  locket: optional(locket),
};

const textPart = v.object({ type: v.literal("text", "only text can be read"), text: v.string() });

const functionName = v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/, "1 to 64 of letters, digits, _ . -"));

const messageCall = v.object({
  id: v.string(),
  type: v.literal("function", "only functions can be called"),
  function: v.object({ name: v.string(), arguments: v.string() }),
});

/** Further fields are for the chat template: plain values, as clients send lists only to say that there is nothing. */
const furtherField = v.union(
  [v.string(), v.number(), v.boolean(), v.null(), v.pipe(v.array(v.unknown()), v.maxLength(0))],
  "this field can't be read",
);

const message = v.pipe(
  v.objectWithRest({
    role: v.picklist(["system", "developer", "user", "assistant", "tool"]),
    content: optional(
      v.union([v.string(), v.array(textPart)], "only text can be read: a string, or parts of type text"),
    ),
    tool_calls: optional(v.array(messageCall)),
  }, furtherField),
  // an assistant may have called functions without a word
  v.forward(
    v.partialCheck(
      [["role"], ["content"]],
      ({ role, content }) => role === "assistant" || content != null,
      "text is wanted",
    ),
    ["content"],
  ),
);

const functionTool = v.strictObject({
  type: v.literal("function", "only functions can be called"),
  function: v.strictObject({
    name: functionName,
    description: optional(v.string()),
    parameters: optional(record),
    strict: optional(v.boolean()),
  }),
});

const tools = v.pipe(
  v.array(functionTool),
  v.maxLength(128),
  v.check(
    (tools) => new Set(tools.map((tool) => tool.function.name)).size === tools.length,
    "names come once",
  ),
);

const chat = v.strictObject({
  ...sampling,
  messages: v.pipe(v.array(message), v.minLength(1)),
  max_completion_tokens: integer(1, 2 ** 31),
  logprobs: optional(v.boolean()),
  top_logprobs: integer(0, 20),
  tools: optional(tools),
  tool_choice: optional(v.union([
    v.picklist(["none", "auto", "required"]),
    v.strictObject({ type: v.literal("function"), function: v.strictObject({ name: v.string() }) }),
  ])),
  parallel_tool_calls: optional(v.boolean()),
  modalities: optional(v.array(v.literal("text", "only text can be answered"))),
});

const completion = v.strictObject({
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

const ids = v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(0))), v.minLength(1));

/** Texts in one request of embeddings, as OpenAI has it. */
const MOST_INPUTS = 2048;

const embeddings = v.strictObject({
  model: optional(v.string()),
  input: v.union([
    v.string(),
    ids,
    v.pipe(v.array(v.union([v.string(), ids])), v.minLength(1), v.maxLength(MOST_INPUTS)),
  ]),
  encoding_format: optional(v.picklist(["float", "base64"])),
  dimensions: integer(1, 2 ** 31),
  locket: optional(locket),
});

export type ChatRequest = v.InferOutput<typeof chat>;
export type CompletionRequest = v.InferOutput<typeof completion>;
export type EmbeddingsRequest = v.InferOutput<typeof embeddings>;
export type LocketRequest = v.InferOutput<typeof locket>;
export type SamplingRequest = Pick<ChatRequest & CompletionRequest, keyof typeof sampling>;

interface ObjectSchema extends v.GenericSchema {
  readonly entries: v.ObjectEntries;
}

/** @throws {ApiError} 400 that names the first field which is not as it should be. */
function reader<T extends ObjectSchema>(schema: T): (body: unknown) => v.InferOutput<T> {
  return (body) => {
    checkDepth(body);
    const { success, output, issues } = v.safeParse(schema, known(body, schema.entries));
    if (success) return output;
    const [issue] = issues;
    const path = v.getDotPath(issue)?.replace(/\.(\d+)(?=\.|$)/g, "[$1]") ?? null;
    const message = issue.expected === "never" ? "there is no such field" : issue.message;
    throw new ApiError(400, path === null ? message : `${path}: ${message}`, "invalid_value", path);
  };
}

/**
 * A body without what means nothing.
 *
 * @throws {ApiError} 400 that names a field which this server does not have.
 */
function known(body: unknown, entries: v.ObjectEntries): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const fields = Object.entries(body).filter(([name, value]) => value !== null && !HARMLESS.has(name));
  const unknown = fields.find(([name]) => !Object.hasOwn(entries, name));
  if (unknown === undefined) return Object.fromEntries(fields);
  throw new ApiError(400, `${unknown[0]}: this server has no such field`, "unknown_parameter", unknown[0]);
}

/** Reads the body of `POST /v1/chat/completions`. */
export const readChat: (body: unknown) => ChatRequest = reader(chat);

/** Reads the body of `POST /v1/completions`. */
export const readCompletion: (body: unknown) => CompletionRequest = reader(completion);

/** Reads the body of `POST /v1/embeddings`. */
export const readEmbeddings: (body: unknown) => EmbeddingsRequest = reader(embeddings);
