/**
 * What the metadata says of the vocabulary, read and checked before anything is built from it: the kind of tokenizer,
 * the token, type, score and merge arrays, and their agreement.
 *
 * @module
 */
import { GgufError, UnsupportedModelError } from "../error.ts";
import type { GgufNumbers, GgufStrings, Metadata } from "../gguf/metadata.ts";
import { isEndOfGeneration, MAX_END_TEXT } from "./end_texts.ts";
import { type PreTokenizer, preTokenizer } from "./pre_tokenizers.ts";
import { TokenType, type TokenWriting } from "./token_text.ts";

/** `bpe`: merges by rank within words of a pre-tokenizer. `spm`: merges by score. `unigram`: most probable pieces. */
export type TokenizerKind = "bpe" | "spm" | "unigram";

/** Everything about the vocabulary that its tables are made from. The arrays are views of the metadata's. */
export interface VocabularySource {
  readonly metadata: Metadata;
  readonly kind: TokenizerKind;
  readonly writing: TokenWriting;
  readonly tokens: GgufStrings;
  /** {@link TokenType} of each token. */
  readonly types: Uint8Array;
  /** `spm` and `unigram`. */
  readonly scores?: GgufNumbers;
  /** `bpe`. */
  readonly merges?: GgufStrings;
  readonly preTokenizer?: PreTokenizer;
  /** SentencePiece's precompiled normaliser; empty where the text stays as it is. */
  readonly charsmap: Uint8Array;
}

/** `tokenizer.ggml.model` of the vocabularies that can be read. */
const MODELS: Readonly<Record<string, { kind: TokenizerKind; writing: TokenWriting }>> = {
  gpt2: { kind: "bpe", writing: "byteLevel" },
  gemma4: { kind: "bpe", writing: "spaces" },
  llama: { kind: "spm", writing: "spaces" },
  t5: { kind: "unigram", writing: "spaces" },
};

/** Tokens that are searched for at every place of a text are at most this long, so that a search has a bound. */
const MAX_SEARCHED_BYTES = 1024;

/** A fault of the file under a key. */
export function fault(metadata: Metadata, key: string, message: string): GgufError {
  return new GgufError(message, key, metadata.offset(key));
}

/**
 * Reads and checks the vocabulary's arrays.
 * @throws {UnsupportedModelError} For a tokenizer model or pre-tokenizer that is not known.
 * @throws {GgufError} For missing arrays, arrays of different lengths or values out of range.
 */
export function readVocabulary(metadata: Metadata): VocabularySource {
  const model = metadata.string("tokenizer.ggml.model");
  if (!Object.hasOwn(MODELS, model)) {
    throw new UnsupportedModelError("tokenizer model", model, Object.keys(MODELS));
  }
  const { kind, writing } = MODELS[model];
  const tokens = required(metadata, "tokenizer.ggml.tokens", metadata.strings("tokenizer.ggml.tokens"));
  if (tokens.length === 0) throw fault(metadata, "tokenizer.ggml.tokens", "the vocabulary is empty");
  const shared = { metadata, kind, writing, tokens, types: readTypes(metadata, tokens, kind) };
  if (kind === "bpe") {
    const fallback = model === "gpt2" ? "default" : model;
    return {
      ...shared,
      charsmap: new Uint8Array(),
      merges: required(metadata, "tokenizer.ggml.merges", metadata.strings("tokenizer.ggml.merges")),
      preTokenizer: preTokenizer(metadata.string("tokenizer.ggml.pre", fallback)),
    };
  }
  return { ...shared, charsmap: readCharsmap(metadata), scores: readScores(metadata, tokens.length) };
}

function required<T>(metadata: Metadata, key: string, value: T | undefined): T {
  if (value === undefined) throw fault(metadata, key, "key is missing, wanted an array");
  return value;
}

function readTypes(metadata: Metadata, tokens: GgufStrings, kind: TokenizerKind): Uint8Array {
  const key = "tokenizer.ggml.token_type";
  const types = new Uint8Array(tokens.length).fill(TokenType.normal);
  const given = metadata.numbers(key);
  if (given && given.length !== tokens.length) {
    throw fault(metadata, key, `${given.length} types for ${tokens.length} tokens`);
  }
  const decoder = new TextDecoder();
  for (let id = 0; id < tokens.length; id++) {
    const type = Number(given?.[id] ?? TokenType.normal);
    if (!(type >= 0 && type <= TokenType.byte)) {
      throw fault(metadata, key, `type of token ${id} is ${type}, wanted 0 to ${TokenType.byte}`);
    }
    const length = tokens.offsets[id + 1] - tokens.offsets[id];
    const special = type === TokenType.control || type === TokenType.unknown ||
      type === TokenType.userDefined;
    if ((special || kind === "unigram") && length > MAX_SEARCHED_BYTES) {
      throw fault(
        metadata,
        "tokenizer.ggml.tokens",
        `token ${id} has ${length} bytes, wanted at most ${MAX_SEARCHED_BYTES}`,
      );
    }
    // Some files leave their end-of-turn tokens normal; as text they would be typed by users and never end a turn.
    const isEnd = length <= MAX_END_TEXT &&
      isEndOfGeneration(tokens.bytes, tokens.offsets[id], tokens.offsets[id + 1], decoder);
    types[id] = isEnd ? TokenType.control : type;
  }
  return types;
}

function readScores(metadata: Metadata, nTokens: number): GgufNumbers {
  const key = "tokenizer.ggml.scores";
  const scores = required(metadata, key, metadata.numbers(key));
  if (scores.length !== nTokens) throw fault(metadata, key, `${scores.length} scores for ${nTokens} tokens`);
  for (let id = 0; id < nTokens; id++) {
    if (!Number.isFinite(Number(scores[id]))) {
      throw fault(metadata, key, `score of token ${id} is ${scores[id]}, wanted a finite number`);
    }
  }
  return scores;
}

function readCharsmap(metadata: Metadata): Uint8Array {
  const map = metadata.numbers("tokenizer.ggml.precompiled_charsmap");
  return map ? new Uint8Array(map.buffer, map.byteOffset, map.byteLength) : new Uint8Array();
}
