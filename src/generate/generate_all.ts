/**
 * Many prompts on one model.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { generate, promptIds } from "../generate.ts";
import type { Model } from "../model/engine.ts";
import { checkOptions, type GenerateOptions, type GenerationResult } from "./options.ts";

/** Options that many replies can share. */
export type SharedOptions = Omit<GenerateOptions, "constraint" | "history" | "onPrefill">;

/**
 * Continues many prompts, as many at a time as the model has free sequences, and gives the results in their order. Those
 * at work decode together: each weight is read once a token for all of them. Every reply is the one that `generate` gives
 * to its prompt alone. It begins when the first result is asked for; leaving the loop ends what is at work.
 *
 * Where tokens are wanted as they come, run several `generate` side by side: they decode together just the same.
 *
 * @param prompts Texts or token ids, as `generate` takes them.
 * @throws {OptionError} When an option is out of its bounds, or one of the prompts can't be read. Nothing has been
 *   computed then.
 *
 * @example
 * ```ts
 * import { generateAll, loadModel } from "@locket/locket";
 *
 * const model = await loadModel("models/locket-books-q8_0.gguf", { context: 128, sequences: 4 });
 * const prompts = ["The old house", "It was late", "She looked", "The sea", "My dear"];
 * for await (const { text } of generateAll(model, prompts, { maxTokens: 8 })) console.log(text);
 * model.dispose();
 * ```
 */
export function generateAll(
  model: Model,
  prompts: readonly (string | readonly number[])[],
  options: SharedOptions = {},
): AsyncGenerator<GenerationResult, void> {
  checkOptions(options, model.tokenizer.nVocab);
  return inOrder(model, prompts.map((prompt, i) => numberedIds(model, prompt, i)), options);
}

/** The ids of one prompt among many. @throws {OptionError} That tells which one can't be read, from 0. */
function numberedIds(model: Model, prompt: string | readonly number[], i: number): readonly number[] {
  try {
    return promptIds(model, prompt);
  } catch (error) {
    if (error instanceof OptionError) throw new OptionError(`prompts[${i}]`, error.found, error.wanted);
    throw error;
  }
}

async function* inOrder(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: SharedOptions,
): AsyncGenerator<GenerationResult, void> {
  const left = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
  const results = prompts.map(() => Promise.withResolvers<GenerationResult>());
  // One that has failed may not be read before others have come to their end.
  for (const { promise } of results) promise.catch(() => {});
  const queue = prompts.entries();
  const work = async () => {
    for (const [i, prompt] of queue) {
      await generate(model, prompt, { ...options, signal }).result().then(
        results[i].resolve,
        results[i].reject,
      );
    }
  };
  const workers = Array.from({ length: Math.max(1, model.freeSequences) }, work);
  try {
    for (const { promise } of results) yield await promise;
  } finally {
    left.abort();
    await Promise.all(workers);
  }
}
