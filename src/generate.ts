/**
 * From a prompt to a stream of tokens: prefill in chunks, then one token per pull. Nothing runs before somebody
 * reads, so a slow reader slows the model and a reader that has gone stops it.
 *
 * @module
 */
import { OptionError } from "./error.ts";
import { encodePrompt } from "./generate/encode_prompt.ts";
import { Generation } from "./generate/generation.ts";
import { checkId, type GenerateOptions } from "./generate/options.ts";
import { Model } from "./model/engine.ts";
import type { Sequence } from "./model/sequence.ts";
import type { Tokenizer } from "./tokenizer/mod.ts";

/**
 * Continues a prompt.
 *
 * Given a model, the generation takes a sequence of its own and gives it back at its end. Given a sequence, the
 * prompt is appended to what that holds already, and the reply stays in it; no prompt at all goes on from there.
 *
 * @param prompt Text, or token ids as they are. At the start of a sequence, text gets the tokens that the model
 *   wants there (BOS).
 * @throws {OptionError} When an option is out of its bounds, the prompt has no token, or the prompt is longer than
 *   the context that is left. Nothing has been computed then.
 *
 * @example
 * ```ts
 * import { generate, loadModel } from "@locket/locket";
 *
 * const model = await loadModel(new URL("../models/locket-books-q8_0.gguf", import.meta.url));
 * for await (const { text } of generate(model, "The old house", { maxTokens: 8, temperature: 0.8, seed: 1 })) {
 *   console.log(text);
 * }
 * model.dispose();
 * ```
 *
 * @example JSON that a schema accepts, whatever the model
 * ```ts
 * import { generate, loadModel } from "@locket/locket";
 * import { assert } from "@std/assert";
 *
 * const model = await loadModel("models/locket-books-q8_0.gguf");
 * const properties = { title: { type: "string", maxLength: 30 }, year: { type: "integer", minimum: 1800, maximum: 1899 } };
 * const jsonSchema = { type: "object", properties, required: ["title", "year"] };
 * const { text } = await generate(model, "The old house", { jsonSchema, temperature: 1, seed: 1 }).result();
 * assert(JSON.parse(text).year < 1900);
 * model.dispose();
 * ```
 */
export function generate(
  on: Model | Sequence,
  prompt: string | readonly number[],
  options: GenerateOptions = {},
): Generation {
  const ids = promptIds(on, prompt);
  for (const id of options.history ?? []) checkId("history", id, on.tokenizer.nVocab);
  return new Generation(on, ids, options);
}

/**
 * The ids of a prompt that can be read.
 *
 * @throws {OptionError} When it has no token, one that there isn't, or too many.
 */
export function promptIds(on: Model | Sequence, prompt: string | readonly number[]): readonly number[] {
  const [start, capacity] = on instanceof Model ? [0, on.plan.context] : [on.position, on.capacity];
  const { tokenizer } = on;
  const ids = typeof prompt === "string" ? encode(tokenizer, prompt, start) : prompt;
  if (!(Array.isArray(ids) || ArrayBuffer.isView(ids))) {
    throw new OptionError("prompt", prompt, "text or token ids");
  }
  if (ids.length === 0 && start === 0) throw new OptionError("prompt", prompt, "at least one token");
  for (const id of ids) checkId("prompt", id, tokenizer.nVocab);
  const room = capacity - start;
  if (ids.length > room) {
    throw new OptionError("prompt", `${ids.length} tokens`, `at most the ${room} that the context has left`);
  }
  return ids;
}

function encode(tokenizer: Tokenizer, text: string, start: number): number[] {
  return start === 0 ? encodePrompt(tokenizer, text) : tokenizer.encode(text, { addSpecial: false });
}
