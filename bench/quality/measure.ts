/** Runs cases and sums up what they say. */
import type { Sequence } from "../../src/model/sequence.ts";
import type { Case } from "./cases.ts";

/** What one case came to. */
export interface Outcome {
  /** Mean nats of the tokens that count. */
  readonly nll: number;
  /** Whether each of them was the most likely one. */
  readonly hit: boolean;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly nDecoded: number;
  /** What the cache holds of the prompt. */
  readonly usedBytes: number;
}

/** Reads the prompt, then what follows it, token by token. */
export async function measure(sequence: Sequence, { prompt, next, from }: Case): Promise<Outcome> {
  sequence.reset();
  const start = performance.now();
  await sequence.prefill(prompt);
  const prefillMs = performance.now() - start;
  const { usedBytes } = sequence.cache();
  let [nll, hit, decodeMs] = [0, true, 0];
  for (let i = 0; i < next.length; i++) {
    if (i >= from) {
      nll += sequence.row.logSumExp() - sequence.row.view()[next[i]];
      hit &&= sequence.row.argmax() === next[i];
    }
    if (i + 1 === next.length) break;
    const before = performance.now();
    sequence.decode(next[i]);
    decodeMs += performance.now() - before;
  }
  return { nll: nll / (next.length - from), hit, prefillMs, decodeMs, nDecoded: next.length - 1, usedBytes };
}

/** The text of a file, unpacked where its name ends in `.gz`. */
export async function readText(path: string): Promise<string> {
  const { body } = await fetch(new URL(path, `file://${Deno.cwd()}/`));
  const stream = path.endsWith(".gz") ? body!.pipeThrough(new DecompressionStream("gzip")) : body!;
  return await new Response(stream).text();
}

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Half the width of the 95 % interval of a mean. */
export function interval(values: readonly number[]): number {
  const m = mean(values);
  return 1.96 * Math.sqrt(mean(values.map((x) => (x - m) ** 2)) / Math.max(1, values.length - 1));
}
