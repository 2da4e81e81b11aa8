/**
 * The order in which samplers act on one row of logits:
 *
 *     bias → penalties → greedy                                      at temperature 0, else
 *     bias → penalties → topk kernel → temperature → top-k → top-p → min-p → draw
 *
 * With top-k the probabilities that top-p and min-p see are normalised among the k; without it they are shares of
 * the whole vocabulary. Without any truncation the draw is exact over the whole vocabulary: survivors are only tried
 * first, since they nearly always hold the mass.
 *
 * @module
 */
import { drawSurvivor, drawTail, massOf } from "./draw.ts";
import { greedy } from "./greedy.ts";
import { LogitBias } from "./logit_bias.ts";
import { type LogitsRow, MAX_SURVIVORS } from "./logits.ts";
import { minP } from "./min_p.ts";
import type { Sampling } from "./options.ts";
import { SeenPenalty } from "./penalties.ts";
import { uniform } from "./random.ts";
import { temper } from "./temperature.ts";
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
  readonly #probs = new Float64Array(MAX_SURVIVORS);

  constructor(sampling: Sampling) {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = sampling;
    this.#sampling = sampling;
    this.#bias = new LogitBias(sampling.logitBias);
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
   * Chooses a token. Bias and penalties stay applied to the row.
   *
   * @param step Tokens chosen before this one: the counter of the random draw.
   * @throws {KernelError} When no logit is a finite number.
   */
  choose(row: LogitsRow, step: number): number {
    this.#bias.apply(row);
    this.#seen?.apply(row);
    const best = greedy(row);
    return this.#sampling.temperature < LEAST_TEMPERATURE ? best : this.#draw(row, step);
  }

  #draw(row: LogitsRow, step: number): number {
    const { temperature, topK, topP: p, minP: least, seed } = this.#sampling;
    const u = uniform(seed, step);
    if (topK > 0) {
      const { ids, values } = row.top(Math.min(topK, row.nVocab));
      temper(this.#probs, values, temperature);
      return this.#drawCut(ids, u);
    }
    row.scale(1 / temperature);
    const id = p === 1 && least === 0 ? this.#drawWhole(row, u) : this.#drawWidening(row, u);
    row.scale(temperature);
    return id;
  }

  /** From the whole vocabulary, tempered. */
  #drawWhole(row: LogitsRow, u: number): number {
    const { ids, values } = row.top(Math.min(FEW_SURVIVORS, row.nVocab));
    const logSumExp = row.logSumExp();
    temper(this.#probs, values, 1, logSumExp);
    const mass = massOf(this.#probs, ids.length);
    return u < mass ? ids[drawSurvivor(this.#probs, ids.length, u)] : drawTail(row, ids, logSumExp, u - mass);
  }

  /** From what top-p and min-p leave of the whole vocabulary, tempered: few survivors mostly do. */
  #drawWidening(row: LogitsRow, u: number): number {
    const logSumExp = row.logSumExp();
    for (let n = FEW_SURVIVORS;; n = MAX_SURVIVORS) {
      const { ids, values } = row.top(Math.min(n, row.nVocab));
      temper(this.#probs, values, 1, logSumExp);
      if (n === MAX_SURVIVORS || this.#cut(ids.length) < ids.length) return this.#drawCut(ids, u);
    }
  }

  #drawCut(ids: Uint32Array, u: number): number {
    const count = this.#cut(ids.length);
    return ids[drawSurvivor(this.#probs, count, u * massOf(this.#probs, count))];
  }

  /** How many of the survivors top-p and min-p leave. */
  #cut(count: number): number {
    const probs = this.#probs;
    return minP(probs, topP(probs, count, this.#sampling.topP), this.#sampling.minP);
  }
}
