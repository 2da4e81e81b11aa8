/**
 * How the next token is chosen, and the bounds of every number in it.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { MAX_SURVIVORS } from "./logits.ts";

/** How the next token is chosen. Everything is off by default: the most likely token wins. */
export interface SamplingOptions {
  /** 0 (default) always takes the most likely token; 1 draws from the model's own distribution. At most 100. */
  readonly temperature?: number;
  /**
   * Draw among the `topK` most likely tokens, at most 256; 0 (default) draws from the whole vocabulary, exactly.
   * With `topP` or `minP` set, 0 means the 256 most likely, at their share of the whole vocabulary.
   */
  readonly topK?: number;
  /** Draw among the most likely tokens that together reach this probability, in (0, 1]; default 1. */
  readonly topP?: number;
  /** Draw among the tokens at least this many times as likely as the best one, in [0, 1]; default 0. */
  readonly minP?: number;
  /** Makes tokens of prompt and reply less likely by this factor on their logit, 0.01 … 100; 1 (default) = not. */
  readonly repetitionPenalty?: number;
  /** Subtracted from a token's logit per occurrence in prompt and reply, -100 … 100; default 0. */
  readonly frequencyPenalty?: number;
  /** Subtracted from a token's logit if it occurs in prompt or reply, -100 … 100; default 0. */
  readonly presencePenalty?: number;
  /** Token id → number added to its logit; `-Infinity` bans it. */
  readonly logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number>;
  /** The same seed draws the same token at the same position, whatever else runs; an integer in 0 … 2^53 - 1. Default: a random one. */
  readonly seed?: number;
}

/** {@link SamplingOptions} with every default in place. */
export interface Sampling {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly logitBias: ReadonlyMap<number, number>;
  readonly seed: number;
}

/** A random seed of 32 bits, short enough to be typed again. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

function biasMap(bias: SamplingOptions["logitBias"], nVocab: number): ReadonlyMap<number, number> {
  if (bias === undefined) return new Map();
  const map = bias instanceof Map ? bias : new Map(Object.entries(bias).map(([id, value]) => [+id, value]));
  for (const [id, value] of map) {
    if (!(Number.isInteger(id) && id >= 0 && id < nVocab)) {
      throw new OptionError("logitBias", id, `token ids in 0 … ${nVocab - 1}`);
    }
    if (!(value < Infinity)) throw new OptionError(`logitBias[${id}]`, value, "a number below Infinity");
  }
  return map;
}

/**
 * Fills in the defaults and checks every bound.
 *
 * @param nVocab Size of the vocabulary.
 * @throws {OptionError} Naming the first option out of its bounds.
 */
export function completeSampling(options: SamplingOptions, nVocab: number): Sampling {
  const sampling: Sampling = {
    temperature: options.temperature ?? 0,
    topK: options.topK ?? 0,
    topP: options.topP ?? 1,
    minP: options.minP ?? 0,
    repetitionPenalty: options.repetitionPenalty ?? 1,
    frequencyPenalty: options.frequencyPenalty ?? 0,
    presencePenalty: options.presencePenalty ?? 0,
    logitBias: biasMap(options.logitBias, nVocab),
    seed: options.seed ?? randomSeed(),
  };
  const require = (name: keyof Sampling, holds: boolean, wanted: string) => {
    if (!holds) throw new OptionError(name, sampling[name], wanted);
  };
  const { temperature, topK, topP, minP, repetitionPenalty, frequencyPenalty, presencePenalty, seed } =
    sampling;
  require("temperature", temperature >= 0 && temperature <= 100, "0 … 100");
  require(
    "topK",
    Number.isInteger(topK) && topK >= 0 && topK <= MAX_SURVIVORS,
    `an integer in 0 … ${MAX_SURVIVORS}`,
  );
  require("topP", topP > 0 && topP <= 1, "above 0 and at most 1");
  require("minP", minP >= 0 && minP <= 1, "0 … 1");
  require("repetitionPenalty", repetitionPenalty >= 0.01 && repetitionPenalty <= 100, "0.01 … 100");
  require("frequencyPenalty", Math.abs(frequencyPenalty) <= 100, "-100 … 100");
  require("presencePenalty", Math.abs(presencePenalty) <= 100, "-100 … 100");
  require("seed", Number.isSafeInteger(seed) && seed >= 0, "an integer in 0 … 2^53 - 1");
  return sampling;
}
