import type { LogitsRow, Penalties } from "./logits.ts";

/** Makes tokens of the prompt and of the reply so far less likely to come again. */
export class SeenPenalty {
  readonly #penalties: Penalties;
  /** Where each seen id stands in the two lists. */
  readonly #index = new Map<number, number>();
  readonly #ids: number[] = [];
  readonly #counts: number[] = [];

  constructor(penalties: Penalties) {
    this.#penalties = penalties;
  }

  /** Counts one occurrence. */
  see(id: number): void {
    const index = this.#index.get(id);
    if (index !== undefined) {
      this.#counts[index]++;
    } else {
      this.#index.set(id, this.#ids.length);
      this.#ids.push(id);
      this.#counts.push(1);
    }
  }

  apply(row: LogitsRow): void {
    if (this.#ids.length > 0) row.penalize(this.#ids, this.#counts, this.#penalties);
  }
}
