import type { Model } from "../model/engine.ts";
import { applyChatTemplate, type ChatMessage, type ChatOptions } from "../tokenizer/mod.ts";
import { encodePrompt } from "./encode_prompt.ts";

/**
 * The ids of a conversation up to where the model's turn begins, by the chat template in its file: a prompt for
 * `generate`, or for the `generate` of a `Session`, which computes only what is new in it.
 *
 * @throws {GgufError} When the file has no chat template, or one that can't be parsed.
 * @throws {OptionError} When the template refuses the messages, for example for roles that don't take turns.
 *
 * @example
 * ```ts
 * import { type ChatMessage, chatPrompt, loadModel, Session } from "@locket/locket";
 *
 * const model = await loadModel("models/locket-books-q8_0.gguf", { context: 256 });
 * const session = new Session(model.sequence());
 * // the bundled model was not trained for chats and brings no template: most models do
 * const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
 * const messages: ChatMessage[] = [];
 * for (const content of ["Good morning", "Who is there?"]) {
 *   messages.push({ role: "user", content });
 *   const generation = await session.generate(chatPrompt(model, messages, { template }), { maxTokens: 8 });
 *   for await (const { text } of generation) console.log(text);
 *   messages.push({ role: "assistant", content: (await generation.result()).text });
 * }
 * model.dispose();
 * ```
 */
export function chatPrompt(
  { metadata, tokenizer }: Pick<Model, "metadata" | "tokenizer">,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): number[] {
  return encodePrompt(tokenizer, applyChatTemplate(metadata, messages, options), { parseSpecial: true });
}
