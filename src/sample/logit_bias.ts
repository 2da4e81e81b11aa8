import type { LogitsRow } from "./logits.ts";

/** Numbers added to the logits of chosen tokens before anything else; `-Infinity` bans a token. */
export class LogitBias {
  readonly #ids: readonly number[];
  readonly #values: readonly number[];

  /** @param bias Token id → number. */
  constructor(bias: ReadonlyMap<number, number>) {
    this.#ids = [...bias.keys()];
    this.#values = [...bias.values()];
  }

  apply(row: LogitsRow): void {
    if (this.#ids.length > 0) row.add(this.#ids, this.#values);
  }
}
