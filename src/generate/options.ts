/**
 * What a generation is asked for, and what it gives back.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Constraint } from "../sample/constraint.ts";
import { type Logprobs, MAX_TOP_LOGPROBS } from "../sample/logprobs.ts";
import { completeSampling, type SamplingOptions } from "../sample/options.ts";
import { checkSchema, type JsonSchema } from "../structured/mod.ts";

/** How to choose tokens, and when to end. */
export interface GenerateOptions extends SamplingOptions {
  /** Tokens to generate at most, at least 1. Default: until the context is full. */
  readonly maxTokens?: number;
  /** Text at which to end. It is not part of the reply, wherever the borders of tokens lie. */
  readonly stop?: string | readonly string[];
  /** Token ids at which to end, beside the model's own ends of generation. */
  readonly stopTokens?: readonly number[];
  /** Goes on after the model's own end of generation. */
  readonly ignoreEos?: boolean;
  /**
   * Holds the reply to a JSON schema: one that has come to its end by itself is JSON that the schema accepts, whatever
   * the model. `{ type: "object" }` for any object. Members come in the order of the schema, and none that it does not
   * name. Keywords that a reply can't be held to as it comes (`pattern`, `format`, `not`, …) are refused.
   */
  readonly jsonSchema?: JsonSchema;
  /** Holds the reply to a rule of one's own instead: one constraint for one reply, as it keeps what has come. */
  readonly constraint?: Constraint;
  /** Ids of tokens that the sequence holds already, for penalties to count them as tokens of the prompt. */
  readonly history?: readonly number[];
  /** Log-probability of each token, and of the `n` most likely ones (at most 20) when a number is given. */
  readonly logprobs?: boolean | number;
  /** Ends the generation within one token, in the prompt within 20 ms; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Told of the prompt's progress, in tokens. */
  readonly onPrefill?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** One token of the reply. */
export interface TokenEvent {
  /** Of the token, in the vocabulary. */
  readonly id: number;
  /** Text that is certain with this token: empty while half a character or a possible stop string is held back. */
  readonly text: string;
  /** Over the whole vocabulary, at temperature 1, with bias and penalties. Set when `logprobs` was asked for. */
  readonly logprobs?: Logprobs;
}

/**
 * `stop`: the model ended, a stop string or token came, or the JSON is complete. `length`: `maxTokens` were generated,
 * the context is full, or the host ends the request soon, perhaps before the first token. `abort`: the reader left before
 * the end.
 */
export type FinishReason = "stop" | "length" | "abort";

/** Time spent computing, also for others in the same steps, without the time that the reader took. */
export interface GenerationTimings {
  /** Of the prompt, in ms. */
  readonly prefillMs: number;
  /** 0 where no time has passed that the clock could tell. */
  readonly prefillTokensPerSecond: number;
  /** Of the reply, in ms, from the second token on: the first comes with the prompt. */
  readonly decodeMs: number;
  /** 0 where no time has passed that the clock could tell. */
  readonly decodeTokensPerSecond: number;
}

/** A generation that has come to its end. */
export interface GenerationResult {
  /** Ids that were read, BOS included. */
  readonly promptTokens: readonly number[];
  /** Every token that was chosen, also those whose text was cut off by a stop string. */
  readonly tokens: readonly number[];
  /** The whole reply, without the stop string that ended it. */
  readonly text: string;
  /** Why there is no more. */
  readonly finishReason: FinishReason;
  /** How long it took. */
  readonly timings: GenerationTimings;
}

/** Ends of a generation, checked and with every default in place. */
export interface Ends {
  readonly maxTokens: number;
  readonly stops: readonly string[];
  readonly stopTokens: ReadonlySet<number>;
}

/**
 * Checks when to end.
 *
 * @param eogIds The model's own ends of generation.
 * @throws {OptionError} Naming the option.
 */
export function completeEnds(options: GenerateOptions, nVocab: number, eogIds: ReadonlySet<number>): Ends {
  const { maxTokens = Infinity, stop = [], stopTokens = [], ignoreEos = false } = options;
  if (maxTokens !== Infinity && !(Number.isInteger(maxTokens) && maxTokens >= 1)) {
    throw new OptionError("maxTokens", maxTokens, "an integer of at least 1");
  }
  for (const id of stopTokens) checkId("stopTokens", id, nVocab);
  const stops = typeof stop === "string" ? [stop] : stop;
  if (!(Array.isArray(stops) && stops.every((text) => typeof text === "string" && text !== ""))) {
    throw new OptionError("stop", stop, "strings of at least one character");
  }
  return {
    maxTokens,
    stops,
    stopTokens: new Set([...stopTokens, ...(ignoreEos ? [] : eogIds)]),
  };
}

/**
 * How many rivals' log-probabilities are wanted; `undefined` for none at all.
 *
 * @throws {OptionError} When more than 20 are.
 */
export function completeLogprobs(logprobs: boolean | number = false): number | undefined {
  if (typeof logprobs === "boolean") return logprobs ? 0 : undefined;
  if (Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= MAX_TOP_LOGPROBS) return logprobs;
  throw new OptionError("logprobs", logprobs, `an integer in 0 … ${MAX_TOP_LOGPROBS}`);
}

/**
 * Checks all that can be checked before there is a model.
 *
 * @param nVocab Tokens of the model, where it is known.
 * @throws {OptionError} Naming the first option out of its bounds.
 */
export function checkOptions(options: GenerateOptions, nVocab = Infinity): void {
  completeSampling(options, nVocab);
  completeEnds(options, nVocab, new Set());
  completeLogprobs(options.logprobs);
  if (options.jsonSchema !== undefined) checkSchema(options.jsonSchema, "jsonSchema");
}

/** @throws {OptionError} When `id` is no token of the vocabulary. */
export function checkId(option: string, id: number, nVocab: number): void {
  if (Number.isInteger(id) && id >= 0 && id < nVocab) return;
  throw new OptionError(option, id, `token ids in 0 … ${nVocab - 1}`);
}
