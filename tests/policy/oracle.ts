/**
 * The policies from their definitions, in double precision, with plain lists and nothing shared with the engine.
 *
 * @module
 */
import type { Heads } from "./rig.ts";

/** What an oracle run is about. */
export interface OracleOptions {
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly policy: "window" | "streaming_llm" | "h2o" | "keyformer" | "tova";
  readonly budget: number;
  readonly recent?: number;
  readonly sinks?: number;
  readonly decay?: number;
  readonly tau?: (step: number) => number;
  readonly noise?: Heads;
}

interface Token {
  readonly position: number;
  score: number;
}

/** One layer's cache, as a list of tokens per KV head. */
export class Oracle {
  readonly heads: Token[][];
  #position = 0;
  #step = 0;

  constructor(readonly options: OracleOptions, readonly q: Heads, readonly k: Heads, readonly v: Heads) {
    this.heads = Array.from({ length: options.nKvHeads }, () => []);
  }

  /** Reads n tokens at once, of a prompt; each sees those before it. Output of the last. */
  prompt(n: number): number[][] {
    this.#step = 0;
    return this.#read(n);
  }

  step(): number[][] {
    this.#step++;
    const out = this.#read(1);
    this.reduce();
    return out;
  }

  kept(): number[][] {
    return this.heads.map((head) => head.map(({ position }) => position));
  }

  #read(n: number): number[][] {
    const { policy, nKvHeads, nHeads, decay = 1, tau = () => 1, noise } = this.options;
    const group = nHeads / nKvHeads;
    const out: number[][] = [];
    for (let t = 0; t < n; t++) {
      const query = this.#position++;
      const last = t === n - 1;
      this.heads.forEach((tokens) => {
        tokens.push({ position: query, score: 0 });
        for (const token of tokens) token.score *= policy === "tova" && last ? 0 : decay;
      });
      for (let h = 0; h < nHeads; h++) {
        const g = Math.floor(h / group);
        const tokens = this.heads[g];
        const logits = tokens.map(({ position }) =>
          dot(this.q[h][query], this.k[g][position], this.options.headDim)
        );
        const p = softmax(logits);
        if (last) {
          out.push(
            this.v[g][0].map((_, i) =>
              tokens.reduce((sum, { position }, s) => sum + p[s] * this.v[g][position][i], 0)
            ),
          );
        }
        if (policy === "h2o" || policy === "keyformer") {
          const noisy = logits.map((x, s) =>
            (x + (noise?.[h][query][tokens[s].position] ?? 0)) / tau(this.#step)
          );
          softmax(noisy).forEach((p, s) => tokens[s].score += p);
        } else if (policy === "tova" && last) {
          for (const head of this.heads) p.forEach((p, s) => head[s].score += p / nHeads);
        }
      }
    }
    return out;
  }

  reduce(): void {
    const { budget, policy, recent = 0, sinks = 0 } = this.options;
    const window = policy === "window" ? budget : policy === "streaming_llm" ? budget - sinks : recent;
    this.heads.forEach((tokens, g) => {
      const free = tokens.filter(({ position }) => position >= sinks && position < this.#position - window);
      const ordered = free.toSorted((a, b) => a.score - b.score || b.position - a.position);
      const byAge = policy === "window" || policy === "streaming_llm";
      const leaving = new Set((byAge ? free : ordered).slice(0, Math.max(0, tokens.length - budget)));
      this.heads[g] = tokens.filter((token) => !leaving.has(token));
    });
  }
}

function dot(a: readonly number[], b: readonly number[], dim: number): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0) / Math.sqrt(dim);
}

function softmax(x: readonly number[]): number[] {
  const max = Math.max(...x);
  const e = x.map((value) => Math.exp(value - max));
  const sum = e.reduce((a, b) => a + b);
  return e.map((value) => value / sum);
}
