/**
 * Chat messages to the prompt that a model was trained on, by the template in its own file.
 *
 * @module
 */
import { Template } from "@huggingface/jinja";
import { GgufError, OptionError } from "../error.ts";
import type { Metadata } from "../gguf/metadata.ts";

/** One message. Templates may read further fields, such as `tool_calls`. */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, or whatever else the template knows. */
  readonly role: string;
  /** Text, where the template asks for nothing else. */
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

/** What a template may use beside the messages. */
export interface ChatOptions {
  /** End with the opening of the assistant's turn. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Function descriptions, as JSON schema, for models that call tools. */
  readonly tools?: readonly unknown[];
  /** Jinja template in place of the file's own. */
  readonly template?: string;
}

/** Where a file has its chat template. */
export const TEMPLATE = "tokenizer.chat_template";

/**
 * The prompt for these messages as text. It holds control tokens as text: {@link chatPrompt} gives its ids.
 *
 * @throws {GgufError} When the file has no chat template, or one that can't be parsed.
 * @throws {OptionError} When the template refuses the messages, for example for roles that don't take turns.
 *
 * @example
 * ```ts
 * import { Metadata } from "../gguf/metadata.ts";
 * import { applyChatTemplate } from "./chat.ts";
 *
 * const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
 * const metadata = new Metadata(new Map([["tokenizer.chat_template", { value: template, offset: 0 }]]));
 * applyChatTemplate(metadata, [{ role: "user", content: "Hello" }]); // "<user>Hello"
 * ```
 */
export function applyChatTemplate(
  metadata: Metadata,
  messages: readonly ChatMessage[],
  { addGenerationPrompt = true, tools, template: given }: ChatOptions = {},
): string {
  const forTools = `${TEMPLATE}.tool_use`;
  const key = tools && metadata.has(forTools) ? forTools : TEMPLATE;
  const template = given === undefined ? parse(metadata, key) : parseGiven(given);
  const values = {
    messages,
    add_generation_prompt: addGenerationPrompt,
    bos_token: tokenText(metadata, "bos"),
    eos_token: tokenText(metadata, "eos"),
    unk_token: tokenText(metadata, "unknown"),
    pad_token: tokenText(metadata, "padding"),
    ...(tools ? { tools } : {}),
  };
  try {
    return template.render(values);
  } catch (error) {
    const refusal = new OptionError(
      "messages",
      messages,
      `what the model's chat template takes: ${messageOf(error)}`,
    );
    refusal.cause = error;
    throw refusal;
  }
}

function parse(metadata: Metadata, key: string): Template {
  if (!metadata.has(key)) throw new GgufError("no chat template, and none was given", key, 0);
  const text = metadata.string(key);
  try {
    return new Template(text);
  } catch (error) {
    throw new GgufError(`chat template can't be parsed: ${messageOf(error)}`, key, metadata.offset(key));
  }
}

function parseGiven(template: string): Template {
  try {
    return new Template(template);
  } catch (error) {
    throw new OptionError("template", template, `one that can be parsed: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function tokenText(metadata: Metadata, name: string): string {
  const tokens = metadata.strings("tokenizer.ggml.tokens");
  const key = `tokenizer.ggml.${name}_token_id`;
  if (!tokens || !metadata.has(key)) return "";
  const id = metadata.number(key);
  if (!(id >= 0 && id < tokens.length)) return "";
  return new TextDecoder().decode(tokens.bytes.subarray(tokens.offsets[id], tokens.offsets[id + 1]));
}
