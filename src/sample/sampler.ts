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
    const whole = topK === 0;
    const { ids, values } = row.top(Math.min(whole ? MAX_SURVIVORS : topK, row.nVocab));
    const probs = this.#probs;
    const u = uniform(seed, step);
    if (!whole) {
      temper(probs, values, temperature);
    } else {
      row.scale(1 / temperature);
      const logSumExp = row.logSumExp();
      temper(probs, values, temperature, logSumExp);
      const mass = massOf(probs, ids.length);
      const tail = p === 1 && least === 0 && u >= mass ? drawTail(row, ids, logSumExp, u - mass) : undefined;
      row.scale(temperature);
      if (tail !== undefined) return tail;
      if (p === 1 && least === 0) return ids[drawSurvivor(probs, ids.length, u)];
    }
    const count = minP(probs, topP(probs, ids.length, p), least);
    return ids[drawSurvivor(probs, count, u * massOf(probs, count))];
  }
}
