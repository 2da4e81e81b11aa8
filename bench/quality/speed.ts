/** How fast a system reads a prompt, and the tokens after it. */
import type { PlanOptions } from "../../src/model/plan.ts";
import { loadModel } from "../../src/runtime/load_model.ts";
import { read } from "./measure.ts";
import { median } from "../statistics.ts";

/** Times that a prompt is read, and tokens decoded behind it each time. */
const ROUNDS = 5;
const DECODED = 32;

/** Tokens per second, medians. */
export interface Speed {
  readonly prefill: number;
  readonly decode: number;
}

/** Reads a prompt several times, and goes on each time with the likeliest tokens. */
export async function measureSpeed(
  path: string,
  options: PlanOptions & { readonly context: number },
  ids: readonly number[],
): Promise<Speed> {
  const model = await loadModel(path, options);
  const sequence = model.sequence();
  const [prompts, tokens]: number[][] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await read(sequence, ids);
    prompts.push(performance.now() - start);
    for (let i = 0; i < DECODED; i++) {
      const id = sequence.row.argmax();
      const before = performance.now();
      sequence.decode(id);
      tokens.push(performance.now() - before);
    }
  }
  model.dispose();
  return { prefill: 1000 * ids.length / median(prompts), decode: 1000 / median(tokens) };
}
