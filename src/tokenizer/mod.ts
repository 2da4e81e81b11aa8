/**
 * Tokenizers and chat templates from a GGUF file's metadata.
 *
 * @module
 */
export { applyChatTemplate, type ChatMessage, type ChatOptions } from "./chat.ts";
export type { Detokenizer } from "./detokenizer.ts";
export {
  createTokenizer,
  type DecodeOptions,
  type EncodeOptions,
  planVocabulary,
  type Tokenizer,
} from "./tokenizer.ts";
