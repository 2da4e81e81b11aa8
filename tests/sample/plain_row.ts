/** A row of logits in plain TypeScript: the oracle of what the kernels do to one. */
import type { LogitsRow, Penalties, TopLogits } from "../../src/sample/logits.ts";

export class PlainRow implements LogitsRow {
  readonly mask: Uint32Array;
  readonly #logits: Float32Array;

  constructor(logits: ArrayLike<number>) {
    this.#logits = Float32Array.from(logits);
    this.mask = new Uint32Array(Math.ceil(logits.length / 32));
  }

  get nVocab(): number {
    return this.#logits.length;
  }

  argmax(): number {
    return this.top(1).ids[0];
  }

  top(k: number): TopLogits {
    const order = Array.from(this.#logits.keys()).sort((a, b) => this.#logits[b] - this.#logits[a] || a - b);
    const ids = Uint32Array.from(order.slice(0, k));
    return { ids, values: Float32Array.from(ids, (id) => this.#logits[id]) };
  }

  logSumExp(): number {
    const best = Math.max(...this.#logits);
    return best + Math.log(this.#logits.reduce((sum, x) => sum + Math.exp(x - best), 0));
  }

  scale(factor: number): void {
    this.#logits.forEach((x, i) => this.#logits[i] = x * factor);
  }

  add(ids: ArrayLike<number>, values: ArrayLike<number>): void {
    for (let i = 0; i < ids.length; i++) this.#logits[ids[i]] += values[i];
  }

  penalize(ids: ArrayLike<number>, counts: ArrayLike<number>, p: Penalties): void {
    for (let i = 0; i < ids.length; i++) {
      const x = this.#logits[ids[i]];
      this.#logits[ids[i]] = (x > 0 ? x / p.repetition : x * p.repetition) - p.frequency * counts[i] -
        p.presence;
    }
  }

  keep(): void {
    this.#logits.forEach((_, id) => {
      if ((this.mask[id >>> 5] >>> (id & 31) & 1) === 0) this.#logits[id] = -Infinity;
    });
  }

  view(): Float32Array {
    return this.#logits;
  }
}

/** Softmax in double precision. */
export function softmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const x = Array.from(logits, (l) => l / temperature);
  const best = Math.max(...x);
  const e = x.map((l) => Math.exp(l - best));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((p) => p / sum);
}
