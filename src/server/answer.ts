/**
 * What the two kinds of completion share: the parts of an answer that do not depend on its shape.
 *
 * @module
 */
import type { TokenEvent } from "../generate/options.ts";
import type { Service, Summary, Task } from "./service.ts";

/** How one kind of completion is written. */
export interface Shape {
  /** First part of the ids, such as `chatcmpl`. */
  readonly prefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** Choices before any token, each a chunk of its own. */
  opening(): readonly unknown[];
  /** Choices of one token. */
  chunk(event: TokenEvent): readonly unknown[];
  /** The last choices. */
  closing(finishReason: string): readonly unknown[];
  /** The choice of a whole answer. */
  whole(text: string, events: readonly TokenEvent[], finishReason: string): unknown;
}

/** Head of an answer and of each of its chunks. */
const head = (shape: Shape, object: string, model: string) => ({
  id: `${shape.prefix}-${crypto.randomUUID().replaceAll("-", "")}`,
  object,
  created: Math.floor(Date.now() / 1000),
  model,
});

/** The answer in one piece. */
export async function wholeAnswer(
  service: Service,
  task: Task,
  shape: Shape,
  model: string,
  signal: AbortSignal,
): Promise<unknown> {
  const reply = service.reply(task, signal);
  const events: TokenEvent[] = [];
  let step = await reply.next();
  for (; !step.done; step = await reply.next()) events.push(step.value);
  const text = events.map((event) => event.text).join("");
  return {
    ...head(shape, shape.object, model),
    choices: [shape.whole(text, events, step.value.finishReason)],
    usage: usage(step.value),
    timings: timings(step.value),
  };
}

/** The answer as chunks, with one for the usage where it is asked for. */
export async function* chunkedAnswer(
  service: Service,
  task: Task,
  shape: Shape,
  model: string,
  signal: AbortSignal,
  includeUsage: boolean,
): AsyncGenerator<unknown> {
  const about = head(shape, shape.chunkObject, model);
  const reply = service.reply(task, signal);
  try {
    let step = await reply.next();
    for (const choice of shape.opening()) yield { ...about, choices: [choice] };
    for (; !step.done; step = await reply.next()) {
      for (const choice of shape.chunk(step.value)) yield { ...about, choices: [choice] };
    }
    const summary = step.value;
    const closing = shape.closing(summary.finishReason);
    for (const choice of closing.slice(0, -1)) yield { ...about, choices: [choice] };
    yield { ...about, choices: closing.slice(-1), timings: timings(summary) };
    if (includeUsage) yield { ...about, choices: [], usage: usage(summary) };
  } finally {
    await reply.return(undefined as never);
  }
}

function usage({ promptTokens, cachedTokens, completionTokens }: Summary) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** In the words of llama.cpp's server. */
function timings({ promptTokens, cachedTokens, completionTokens, timings }: Summary) {
  const promptN = promptTokens - cachedTokens;
  return {
    cache_n: cachedTokens,
    prompt_n: promptN,
    prompt_ms: timings.prefillMs,
    prompt_per_second: timings.prefillTokensPerSecond,
    predicted_n: completionTokens,
    predicted_ms: timings.decodeMs,
    predicted_per_second: timings.decodeTokensPerSecond,
  };
}
