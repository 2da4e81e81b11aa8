/**
 * A running generation.
 *
 * @module
 */
import { CpuLimitError, OptionError } from "../error.ts";
import { Model } from "../model/engine.ts";
import type { Sequence } from "../model/sequence.ts";
import type { Constraint } from "../sample/constraint.ts";
import { logprobsOf } from "../sample/logprobs.ts";
import { completeSampling } from "../sample/options.ts";
import { Sampler } from "../sample/sampler.ts";
import { schemaConstraint } from "../structured/mod.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import {
  completeEnds,
  completeLogprobs,
  type Ends,
  type FinishReason,
  type GenerateOptions,
  type GenerationResult,
  type TokenEvent,
} from "./options.ts";
import { StopStrings } from "./stop_strings.ts";

/**
 * An async iterable of tokens, a stream of their text, and a result: three ways to read the same single run. Each
 * pull computes one token.
 */
export class Generation implements AsyncIterable<TokenEvent> {
  /** The text as it becomes certain, computed as it is read. Cancelling it ends the generation. */
  readonly textStream: ReadableStream<string>;
  readonly #on: Model | Sequence;
  readonly #prompt: readonly number[];
  readonly #options: GenerateOptions;
  readonly #ends: Ends;
  readonly #constraint: Constraint | undefined;
  readonly #sampler: Sampler;
  readonly #stops: StopStrings;
  readonly #nTop: number | undefined;
  readonly #left = new AbortController();
  readonly #signal: AbortSignal;
  readonly #events: AsyncGenerator<TokenEvent, void>;
  readonly #tokens: number[] = [];
  #text = "";
  #finishReason: FinishReason = "abort";
  #failure: { readonly error: unknown } | undefined;
  #prefillMs = 0;
  #decodeMs = 0;

  /** Use {@link generate}. */
  constructor(on: Model | Sequence, prompt: readonly number[], options: GenerateOptions) {
    const { nVocab, eogIds } = on.tokenizer;
    this.#on = on;
    this.#prompt = prompt;
    this.#options = options;
    this.#ends = completeEnds(options, nVocab, eogIds);
    this.#constraint = constraintOf(on.tokenizer, options);
    this.#sampler = new Sampler(completeSampling(options, nVocab), this.#constraint);
    this.#stops = new StopStrings(this.#ends.stops);
    this.#nTop = completeLogprobs(options.logprobs);
    this.#signal = options.signal ? AbortSignal.any([options.signal, this.#left.signal]) : this.#left.signal;
    this.#events = this.#run();
    // Without a queue of its own the stream asks for a piece only when its reader does.
    this.textStream = new ReadableStream<string>({
      pull: (controller) => this.#pull(controller),
      cancel: () => this.cancel(),
    }, { highWaterMark: 0 });
  }

  /** The tokens, each computed when it is asked for. Leaving the loop ends the generation. */
  [Symbol.asyncIterator](): AsyncIterator<TokenEvent> {
    return {
      next: () => this.#next(),
      return: async () => {
        await this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  /** Runs to the end whatever nobody has read, and tells of the whole. Rejects as the reading does. */
  async result(): Promise<GenerationResult> {
    while (!(await this.#next()).done);
    const decoded = Math.max(0, this.#tokens.length - 1);
    return {
      promptTokens: this.#prompt,
      tokens: this.#tokens,
      text: this.#text,
      finishReason: this.#finishReason,
      timings: {
        prefillMs: this.#prefillMs,
        prefillTokensPerSecond: perSecond(this.#prompt.length, this.#prefillMs),
        decodeMs: this.#decodeMs,
        decodeTokensPerSecond: perSecond(decoded, this.#decodeMs),
      },
    };
  }

  /** Ids of the tokens chosen so far. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** Ends the generation, also within its prompt, as if it had come to its end: nothing rejects. */
  async cancel(): Promise<void> {
    this.#left.abort();
    await this.#events.return();
  }

  /** The next token. A generation that has failed fails for each of its readers, and whoever reads it again. */
  async #next(): Promise<IteratorResult<TokenEvent, void>> {
    const next = await this.#events.next();
    if (next.done && this.#failure !== undefined) throw this.#failure.error;
    return next;
  }

  /** Hands over the next piece of text, past tokens that complete none. */
  async #pull(controller: ReadableStreamDefaultController<string>): Promise<void> {
    for (;;) {
      const { done, value } = await this.#next();
      if (done) return controller.close();
      if (value.text !== "") return controller.enqueue(value.text);
    }
  }

  async *#run(): AsyncGenerator<TokenEvent, void> {
    let own: Sequence | undefined;
    try {
      this.#signal.throwIfAborted();
      yield* this.#reply(this.#on instanceof Model ? own = this.#on.sequence() : this.#on);
    } catch (error) {
      if (error === this.#left.signal.reason) return;
      if (error instanceof CpuLimitError) {
        this.#finishReason = "length";
        return;
      }
      this.#failure = { error };
      throw error;
    } finally {
      own?.release();
    }
  }

  async *#reply(sequence: Sequence): AsyncGenerator<TokenEvent, void> {
    let start = performance.now();
    const before = sequence.position;
    for (const id of this.#options.history ?? []) this.#sampler.see(id);
    for (const id of this.#prompt) this.#sampler.see(id);
    await this.#read(sequence);
    const { maxTokens, stopTokens } = this.#ends;
    const decoder = this.#on.tokenizer.stream();
    for (let step = 0;; step++) {
      const id = this.#sampler.choose(sequence.row, sequence.position);
      const logprobs = this.#nTop === undefined ? undefined : logprobsOf(sequence.row, id, this.#nTop);
      this.#sampler.see(id);
      this.#tokens.push(id);
      const ended = stopTokens.has(id);
      const complete = this.#constraint?.complete ?? false;
      let text = ended ? "" : this.#stops.push(decoder.push(id));
      const full = sequence.takeCpuWarning() || step + 1 >= maxTokens || sequence.full;
      const done = ended || complete || full || this.#stops.stopped;
      if (done && !this.#stops.stopped) text += this.#stops.push(decoder.flush()) + this.#stops.flush();
      if (done) this.#finishReason = ended || complete || this.#stops.stopped ? "stop" : "length";
      this.#text += text;
      const now = performance.now();
      if (step === 0) this.#prefillMs = now - start;
      else this.#decodeMs += now - start;
      yield logprobs === undefined ? { id, text } : { id, text, logprobs };
      if (done) return;
      this.#signal.throwIfAborted();
      if (sequence.position !== before + this.#prompt.length + step) {
        throw new OptionError("sequence", `at ${sequence.position}`, "to be left alone while it generates");
      }
      start = performance.now();
      const read = sequence.step(id, this.#signal);
      if (read === undefined) continue;
      await read;
      this.#signal.throwIfAborted();
    }
  }

  /**
   * Reads the prompt. One token behind a text is read as the step that it is, so that a reply that was ended and goes on is
   * the one that would have come without an end.
   */
  async #read(sequence: Sequence): Promise<void> {
    if (this.#prompt.length === 0) return;
    if (sequence.position === 0 || this.#prompt.length > 1) {
      await sequence.prefill(this.#prompt, { signal: this.#signal, onProgress: this.#options.onPrefill });
      return;
    }
    sequence.decode(this.#prompt[0]);
    this.#options.onPrefill?.({ done: 1, total: 1 });
  }
}

function constraintOf(
  tokenizer: Tokenizer,
  { jsonSchema, constraint }: GenerateOptions,
): Constraint | undefined {
  if (jsonSchema === undefined) return constraint;
  if (constraint === undefined) return schemaConstraint(tokenizer, jsonSchema, "jsonSchema");
  throw new OptionError("constraint", "given", "no jsonSchema beside it");
}

/** 0 where no time has passed that the clock could tell. */
function perSecond(count: number, ms: number): number {
  return ms > 0 ? count / ms * 1000 : 0;
}
