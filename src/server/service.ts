/**
 * A model at the service of many requests: admission, deadline, one reply a request.
 *
 * @module
 */
import type { FinishReason, GenerateOptions, GenerationTimings, TokenEvent } from "../generate/options.ts";
import type { Model } from "../model/engine.ts";
import { Session } from "../session/session.ts";
import { completeSampling } from "../sample/options.ts";
import { ApiError } from "./api_error.ts";
import { Lanes } from "./lanes.ts";
import type { Metrics, State } from "./metrics.ts";
import type { Conversation } from "./sessions.ts";

/** A prompt with what to do with it. */
export interface Task {
  readonly ids: readonly number[];
  readonly options: GenerateOptions;
  /** Whether what a session holds of the prompt is used. */
  readonly cachePrompt: boolean;
  /** What it continues, and where that is kept. */
  readonly conversation?: Conversation;
}

/** A reply that has come to its end. */
export interface Summary {
  readonly finishReason: FinishReason;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly timings: GenerationTimings;
}

const tooLate = () => new ApiError(503, "The request's time is over", "deadline_exceeded", null, 2);

/** Why a reply was ended before its time. */
const LATE = Symbol("deadline");

/** The one model of a server. */
export class Service {
  readonly lanes: Lanes;
  readonly #deadlineMs: number;
  readonly #metrics: Metrics;

  /** @param maxWaiting Requests that may wait for a sequence. @param deadlineMs Time that a request has in all. */
  constructor(readonly model: Model, maxWaiting: number, deadlineMs: number, metrics: Metrics) {
    const sessions = model.plan.sequences.map(() => new Session(model.sequence()));
    this.lanes = new Lanes(sessions, maxWaiting);
    this.#deadlineMs = deadlineMs;
    this.#metrics = metrics;
  }

  /** For `GET /metrics`. */
  get state(): State {
    const { running, waiting } = this.lanes;
    const { memoryBytes, steps } = this.model;
    return { running, waiting, memoryBytes, steps };
  }

  /**
   * @throws {ApiError} When a prompt can never be answered, or there is no room for it now.
   * @throws {OptionError} When an option is out of its bounds.
   */
  check({ ids, options }: Task): void {
    completeSampling(options, this.model.tokenizer.nVocab);
    const { context } = this.model.plan;
    if (ids.length === 0) throw new ApiError(400, "The prompt is empty", "invalid_value");
    if (ids.length >= context) {
      const message = `The prompt has ${ids.length} tokens, the context holds ${context} with the reply`;
      throw new ApiError(400, message, "context_length_exceeded");
    }
    this.lanes.checkRoom();
  }

  /** Waits for a session, then yields the tokens of the reply. A reply that runs into its deadline ends by length. */
  async *reply(task: Task, signal: AbortSignal): AsyncGenerator<TokenEvent, Summary> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(LATE), this.#deadlineMs);
    try {
      const either = AbortSignal.any([signal, late.signal]);
      const session = await this.lanes.enter(task.ids, either);
      try {
        return yield* this.#run(session, task, signal, late.signal);
      } finally {
        await session.settle();
        this.lanes.leave(session);
      }
    } catch (error) {
      throw error === LATE ? tooLate() : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Waits for a session, then embeds one text after the other.
   *
   * @throws {ApiError} 503 when the request's time is over.
   */
  async embed(texts: readonly (readonly number[])[], signal: AbortSignal): Promise<Float32Array[]> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(LATE), this.#deadlineMs);
    const either = AbortSignal.any([signal, late.signal]);
    const start = performance.now();
    try {
      const session = await this.lanes.enter([], either);
      try {
        const vectors: Float32Array[] = [];
        for (const ids of texts) vectors.push(await session.embed(ids, { signal: either }));
        const tokens = texts.reduce((sum, { length }) => sum + length, 0);
        this.#metrics.embedded(tokens, performance.now() - start);
        return vectors;
      } finally {
        this.lanes.leave(session);
      }
    } catch (error) {
      throw error === LATE ? tooLate() : error;
    } finally {
      clearTimeout(timer);
    }
  }

  async *#run(
    session: Session,
    { ids, options, cachePrompt, conversation }: Task,
    signal: AbortSignal,
    late: AbortSignal,
  ): AsyncGenerator<TokenEvent, Summary> {
    await conversation?.begin(session);
    if (!cachePrompt) await session.forget();
    // in the prompt the deadline ends all; once there are tokens, it ends the reply with those
    const ending = new AbortController();
    const stop = () => generation.tokens.length === 0 && ending.abort(LATE);
    const generation = await session.generate(ids, {
      ...options,
      signal: AbortSignal.any([signal, ending.signal]),
    });
    late.addEventListener("abort", stop);
    try {
      let cut = false;
      for await (const event of generation) {
        yield event;
        cut = late.aborted;
        if (cut) break;
      }
      const { finishReason, tokens, timings } = await generation.result();
      const cachedTokens = session.reusedTokens;
      await conversation?.end(session);
      this.#metrics.answered(ids.length - cachedTokens, cachedTokens, tokens.length, timings);
      return {
        finishReason: cut && finishReason === "abort" ? "length" : finishReason,
        promptTokens: ids.length,
        cachedTokens,
        completionTokens: tokens.length,
        timings,
      };
    } finally {
      late.removeEventListener("abort", stop);
    }
  }
}
