/**
 * A model for the AI SDK without HTTP in between: `generateText({ model: locket(model), … })`. The types are the part of
 * the SDK's provider specification, version 3, that is used here.
 *
 * @module
 */
import type { FinishReason } from "../generate/options.ts";
import type { Model } from "../model/engine.ts";
import { type CallOptions, chatRequest, type Warning, warnings } from "./ai_sdk_call.ts";
import { newCall, planChat } from "./chat.ts";
import { Metrics } from "./metrics.ts";
import { Service, type Summary } from "./service.ts";
import { JsonEnd } from "./tools/json_end.ts";
import type { ReplyPart } from "./tools/parser.ts";

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

/** How a call ended, and what it took. */
export interface CallEnd {
  readonly finishReason: {
    readonly unified: "stop" | "length" | "tool-calls" | "other";
    readonly raw: string;
  };
  readonly usage: {
    readonly inputTokens: { total: number; noCache: number; cacheRead: number; cacheWrite: undefined };
    readonly outputTokens: { total: number; text: number; reasoning: undefined };
  };
}

/** A call of a tool. */
export interface ToolCallPart {
  readonly type: "tool-call";
  readonly toolCallId: string;
  readonly toolName: string;
  /** JSON. */
  readonly input: string;
}

/** One part of a stream. */
export type StreamPart =
  | { readonly type: "stream-start"; readonly warnings: readonly Warning[] }
  | { readonly type: "text-start" | "text-end"; readonly id: string }
  | { readonly type: "text-delta"; readonly id: string; readonly delta: string }
  | { readonly type: "tool-input-start"; readonly id: string; readonly toolName: string }
  | { readonly type: "tool-input-delta"; readonly id: string; readonly delta: string }
  | { readonly type: "tool-input-end"; readonly id: string }
  | ToolCallPart
  | { readonly type: "finish" } & CallEnd;

/** A language model as the AI SDK takes it. */
export interface LocketLanguageModel {
  readonly specificationVersion: "v3";
  readonly provider: "locket";
  readonly modelId: string;
  readonly supportedUrls: Record<string, never>;
  doGenerate(options: CallOptions): Promise<
    CallEnd & {
      readonly content: readonly ({ readonly type: "text"; readonly text: string } | ToolCallPart)[];
      readonly warnings: readonly Warning[];
    }
  >;
  doStream(options: CallOptions): Promise<{ readonly stream: ReadableStream<StreamPart> }>;
}

/** A reply as it comes. */
type Reply = AsyncGenerator<ReplyPart, CallEnd>;

/**
 * Offers a loaded model to the AI SDK: texts, objects by schema, and tools. All of its sequences are taken for good; calls
 * beyond them wait.
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
  const begin = (call: CallOptions): Reply => {
    const { task, parser } = planChat(model, chatRequest(call), chatTemplate);
    service.check(task);
    const reply = service.reply(task, call.abortSignal ?? new AbortController().signal);
    return parts(reply);

    async function* parts(events: typeof reply): Reply {
      try {
        let step = await events.next();
        for (; !step.done; step = await events.next()) {
          const { text } = step.value;
          yield* parser?.push(text) ?? (text === "" ? [] : [{ text }]);
        }
        yield* parser?.flush() ?? [];
        return callEnd(step.value, parser?.calls ?? 0);
      } finally {
        await events.return(undefined as never);
      }
    }
  };

  return {
    specificationVersion: "v3",
    provider: "locket",
    modelId: options.modelId ?? model.metadata.string("general.name", "model"),
    supportedUrls: {},

    async doGenerate(call) {
      const reply = begin(call);
      const calls: ToolCallPart[] = [];
      let text = "";
      let step = await reply.next();
      for (; !step.done; step = await reply.next()) {
        const part = step.value;
        if ("text" in part) text += part.text;
        else if ("call" in part) calls.push(toolCall(part.call));
        else calls.push(longer(calls.pop()!, part.arguments));
      }
      const texts = text === "" && calls.length > 0 ? [] : [{ type: "text", text } as const];
      return { content: [...texts, ...calls.filter(isWhole)], warnings: warnings(call), ...step.value };
    },

    doStream(call) {
      return Promise.resolve({ stream: ReadableStream.from(streamParts(begin(call), warnings(call))) });
    },
  };
}

async function* streamParts(reply: Reply, warnings: readonly Warning[]): AsyncGenerator<StreamPart> {
  /** What has begun and not ended: a text, by its number, or a call. */
  let open: { readonly text: string } | { readonly call: ToolCallPart } | undefined;
  let texts = 0;
  const close = function* (): Generator<StreamPart> {
    if (open === undefined) return;
    if ("text" in open) yield { type: "text-end", id: open.text };
    else {
      yield { type: "tool-input-end", id: open.call.toolCallId };
      if (isWhole(open.call)) yield open.call;
    }
    open = undefined;
  };
  try {
    yield { type: "stream-start", warnings };
    let step = await reply.next();
    for (; !step.done; step = await reply.next()) {
      const part = step.value;
      if ("call" in part) {
        yield* close();
        const call = toolCall(part.call);
        open = { call };
        yield { type: "tool-input-start", id: call.toolCallId, toolName: call.toolName };
      } else if ("arguments" in part) {
        const { call } = open as { readonly call: ToolCallPart };
        open = { call: longer(call, part.arguments) };
        yield { type: "tool-input-delta", id: call.toolCallId, delta: part.arguments };
      } else {
        if (open === undefined || "call" in open) {
          yield* close();
          open = { text: `${texts++}` };
          yield { type: "text-start", id: open.text };
        }
        yield { type: "text-delta", id: open.text, delta: part.text };
      }
    }
    yield* close();
    yield { type: "finish", ...step.value };
  } finally {
    await reply.return(undefined as never);
  }
}

const toolCall = (name: string): ToolCallPart => ({
  type: "tool-call",
  toolCallId: newCall(name).id,
  toolName: name,
  input: "",
});

const longer = (call: ToolCallPart, more: string): ToolCallPart => ({ ...call, input: call.input + more });

/** Whether a call has come to its end; one that was cut is no call. */
function isWhole({ input }: ToolCallPart): boolean {
  const end = new JsonEnd();
  end.push(input);
  return end.done;
}

const UNIFIED: Record<FinishReason, CallEnd["finishReason"]["unified"]> = {
  stop: "stop",
  length: "length",
  abort: "other",
};

function callEnd(
  { finishReason, promptTokens, cachedTokens, completionTokens }: Summary,
  calls: number,
): CallEnd {
  const called = finishReason === "stop" && calls > 0;
  return {
    finishReason: { unified: called ? "tool-calls" : UNIFIED[finishReason], raw: finishReason },
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
