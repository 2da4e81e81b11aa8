/**
 * A model for the AI SDK without HTTP in between: `generateText({ model: locket(model), … })`. The types are the part of
 * the SDK's provider specification, version 3, that is used here.
 *
 * @module
 */
import type { FinishReason, GenerateOptions, TokenEvent } from "../generate/options.ts";
import type { Model } from "../model/engine.ts";
import { ApiError } from "./api_error.ts";
import { chatIds } from "./chat.ts";
import { Metrics } from "./metrics.ts";
import { Service, type Summary, type Task } from "./service.ts";

/** How a model is offered to the AI SDK. */
export interface LocketOptions {
  /** Default: the file's `general.name`. */
  readonly modelId?: string;
  /** Jinja template for chats, in place of the model's own. */
  readonly chatTemplate?: string;
  /** Calls that may wait for a sequence. Default: any number. */
  readonly queue?: number;
  /** Time that a call has in all. Default 300,000. */
  readonly deadlineMs?: number;
}

interface Part {
  readonly type: string;
  readonly text?: string;
}

/** What the SDK asks for. */
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
  readonly responseFormat?: { readonly type: string };
  readonly tools?: readonly unknown[];
  readonly abortSignal?: AbortSignal;
}

interface Warning {
  readonly type: "unsupported";
  readonly feature: string;
}

/** How a call ended, and what it took. */
export interface CallEnd {
  readonly finishReason: { readonly unified: "stop" | "length" | "other"; readonly raw: string };
  readonly usage: {
    readonly inputTokens: { total: number; noCache: number; cacheRead: number; cacheWrite: undefined };
    readonly outputTokens: { total: number; text: number; reasoning: undefined };
  };
}

/** One part of a stream. */
export type StreamPart =
  | { readonly type: "stream-start"; readonly warnings: readonly Warning[] }
  | { readonly type: "text-start" | "text-end"; readonly id: string }
  | { readonly type: "text-delta"; readonly id: string; readonly delta: string }
  | { readonly type: "finish" } & CallEnd;

/** A language model as the AI SDK takes it. */
export interface LocketLanguageModel {
  readonly specificationVersion: "v3";
  readonly provider: "locket";
  readonly modelId: string;
  readonly supportedUrls: Record<string, never>;
  doGenerate(options: CallOptions): Promise<
    CallEnd & {
      readonly content: readonly { readonly type: "text"; readonly text: string }[];
      readonly warnings: readonly Warning[];
    }
  >;
  doStream(options: CallOptions): Promise<{ readonly stream: ReadableStream<StreamPart> }>;
}

/** The only text of a stream. */
const TEXT_ID = "0";

/**
 * Offers a loaded model to the AI SDK. All of its sequences are taken for good; calls beyond them wait.
 *
 * @example
 * ```ts ignore
 * const { text } = await generateText({ model: locket(await loadModel("model.gguf")), prompt: "Hello" });
 * ```
 */
export function locket(model: Model, options: LocketOptions = {}): LocketLanguageModel {
  const { queue = Infinity, deadlineMs = 300_000, chatTemplate } = options;
  const service = new Service(model, queue, deadlineMs, new Metrics());

  /** Begins a call; throws at once what can't be answered. */
  const begin = (call: CallOptions): AsyncGenerator<TokenEvent, Summary> => {
    const task: Task = {
      ids: chatIds(model, call.prompt.map(plainMessage), chatTemplate),
      options: generateOptions(call),
      cachePrompt: true,
    };
    service.check(task);
    return service.reply(task, call.abortSignal ?? new AbortController().signal);
  };

  return {
    specificationVersion: "v3",
    provider: "locket",
    modelId: options.modelId ?? model.metadata.string("general.name", "model"),
    supportedUrls: {},

    async doGenerate(call) {
      const reply = begin(call);
      let text = "";
      let step = await reply.next();
      for (; !step.done; step = await reply.next()) text += step.value.text;
      return { content: [{ type: "text", text }], warnings: warnings(call), ...callEnd(step.value) };
    },

    doStream(call) {
      return Promise.resolve({ stream: ReadableStream.from(streamParts(begin(call), warnings(call))) });
    },
  };
}

async function* streamParts(
  reply: AsyncGenerator<TokenEvent, Summary>,
  warnings: readonly Warning[],
): AsyncGenerator<StreamPart> {
  try {
    yield { type: "stream-start", warnings };
    yield { type: "text-start", id: TEXT_ID };
    let step = await reply.next();
    for (; !step.done; step = await reply.next()) {
      if (step.value.text !== "") yield { type: "text-delta", id: TEXT_ID, delta: step.value.text };
    }
    yield { type: "text-end", id: TEXT_ID };
    yield { type: "finish", ...callEnd(step.value) };
  } finally {
    await reply.return(undefined as never);
  }
}

function plainMessage({ role, content }: CallOptions["prompt"][number]) {
  if (typeof content === "string") return { role, content };
  const other = content.find(({ type }) => type !== "text");
  if (other === undefined) return { role, content: content.map(({ text }) => text).join("") };
  throw new ApiError(400, `${other.type} can't be read, only text`, "invalid_value", "prompt");
}

function generateOptions(call: CallOptions): GenerateOptions {
  return {
    maxTokens: call.maxOutputTokens,
    temperature: call.temperature ?? 1,
    topP: call.topP,
    topK: call.topK,
    stop: call.stopSequences,
    seed: call.seed,
    frequencyPenalty: call.frequencyPenalty,
    presencePenalty: call.presencePenalty,
  };
}

/** What was asked for and is not done. */
function warnings({ tools, responseFormat }: CallOptions): Warning[] {
  const asked = {
    tools: (tools?.length ?? 0) > 0,
    responseFormat: (responseFormat?.type ?? "text") !== "text",
  };
  return Object.entries(asked).filter(([, is]) => is).map(([feature]) => ({ type: "unsupported", feature }));
}

const UNIFIED: Record<FinishReason, CallEnd["finishReason"]["unified"]> = {
  stop: "stop",
  length: "length",
  abort: "other",
};

function callEnd({ finishReason, promptTokens, cachedTokens, completionTokens }: Summary): CallEnd {
  return {
    finishReason: { unified: UNIFIED[finishReason], raw: finishReason },
    usage: {
      inputTokens: {
        total: promptTokens,
        noCache: promptTokens - cachedTokens,
        cacheRead: cachedTokens,
        cacheWrite: undefined,
      },
      outputTokens: { total: completionTokens, text: completionTokens, reasoning: undefined },
    },
  };
}
