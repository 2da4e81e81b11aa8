/**
 * The order in which samplers act on one row of logits:
 *
 *     bias → penalties → constraint → greedy                                      at temperature 0, else
 *     bias → penalties → constraint → temperature → top-k → top-p → min-p → draw
 *
 * With top-k the probabilities that top-p and min-p see are normalised among the k; without it they are shares of
 * the whole vocabulary, and at most 256 tokens are left. Without any truncation the draw is exact over the whole
 * vocabulary: survivors are only tried first, since they nearly always hold the mass.
 *
 * @module
 */
import type { Constraint } from "./constraint.ts";
import { drawSurvivor, drawTail, massOf } from "./draw.ts";
import { greedy } from "./greedy.ts";
import { LogitBias } from "./logit_bias.ts";
import { type LogitsRow, MAX_SURVIVORS } from "./logits.ts";
import { minP } from "./min_p.ts";
import type { Sampling } from "./options.ts";
import { SeenPenalty } from "./penalties.ts";
import { uniform } from "./random.ts";
import { logSumExp, shares } from "./softmax.ts";
import { topP } from "./top_p.ts";

/** Colder than this is greedy: a logit ahead by 0.1 is already e^100 times as likely. */
const LEAST_TEMPERATURE = 0.001;

/** Survivors that nearly always hold what is drawn; bringing out the full number takes several times as long. */
const FEW_SURVIVORS = 64;

/** Chooses the tokens of one generation. Its only state is which tokens have been seen, and only for penalties. */
export class Sampler {
  readonly #sampling: Sampling;
  readonly #bias: LogitBias;
  readonly #seen: SeenPenalty | undefined;
  readonly #constraint: Constraint | undefined;
  readonly #probs = new Float64Array(MAX_SURVIVORS);

  /** @param constraint What the reply is held to. */
  constructor(sampling: Sampling, constraint?: Constraint) {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = sampling;
    this.#sampling = sampling;
    this.#bias = new LogitBias(sampling.logitBias);
    this.#constraint = constraint;
    if (repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0) {
      this.#seen = new SeenPenalty({
        repetition: repetitionPenalty,
        frequency: frequencyPenalty,
        presence: presencePenalty,
      });
    }
  }

  /** Tells of a token of the prompt or of the reply. */
  see(id: number): void {
    this.#seen?.see(id);
  }

  /**
   * Chooses a token. Bias, penalties and constraint stay applied to the row.
   *
   * @param position Of the token that is chosen: the counter of the random draw.
   * @throws {KernelError} When no logit is a finite number.
   * @throws {OptionError} When the constraint leaves no token.
   */
  choose(row: LogitsRow, position: number): number {
    this.#bias.apply(row);
    this.#seen?.apply(row);
    if (this.#constraint?.fill(row.mask)) row.keep();
    const best = greedy(row);
    const id = this.#sampling.temperature < LEAST_TEMPERATURE ? best : this.#draw(row, position);
    this.#constraint?.accept(id);
    return id;
  }

  #draw(row: LogitsRow, position: number): number {
    const { temperature, topK, topP, minP, seed } = this.#sampling;
    const u = uniform(seed, position);
    row.scale(1 / temperature);
    let id: number;
    if (topK > 0) id = this.#drawTop(row, topK, u);
    else if (topP === 1 && minP === 0) id = this.#drawWhole(row, u);
    else id = this.#drawWidening(row, u);
    row.scale(temperature);
    return id;
  }

  /** From the k best, whose probabilities are normalised among them. */
  #drawTop(row: LogitsRow, k: number, u: number): number {
    const { ids, values } = row.top(Math.min(k, row.nVocab));
    shares(this.#probs, values, logSumExp(values));
    return this.#drawFrom(ids, this.#cut(ids.length), u);
  }

  /** From the whole vocabulary. */
  #drawWhole(row: LogitsRow, u: number): number {
    const total = row.logSumExp();
    const { ids, values } = row.top(Math.min(FEW_SURVIVORS, row.nVocab));
    shares(this.#probs, values, total);
    const mass = massOf(this.#probs, ids.length);
    return u < mass ? ids[drawSurvivor(this.#probs, ids.length, u)] : drawTail(row, ids, total, u - mass);
  }

  /** From what top-p and min-p leave of the whole vocabulary: a few survivors mostly hold all of it. */
  #drawWidening(row: LogitsRow, u: number): number {
    const total = row.logSumExp();
    for (let n = FEW_SURVIVORS;; n = MAX_SURVIVORS) {
      const { ids, values } = row.top(Math.min(n, row.nVocab));
      shares(this.#probs, values, total);
      const count = this.#cut(ids.length);
      if (count < ids.length || n === MAX_SURVIVORS) return this.#drawFrom(ids, count, u);
    }
  }

  #drawFrom(ids: Uint32Array, count: number, u: number): number {
    return ids[drawSurvivor(this.#probs, count, u * massOf(this.#probs, count))];
  }

  /** How many of the survivors top-p and min-p leave. */
  #cut(count: number): number {
    const probs = this.#probs;
    return minP(probs, topP(probs, count, this.#sampling.topP), this.#sampling.minP);
  }
}
