/**
 * The tokenizer of a GGUF file: text to ids and back, from the metadata alone, its tables in memory handed over.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { GgufStrings, Metadata } from "../gguf/metadata.ts";
import { Detokenizer, type TokenBytes } from "./detokenizer.ts";
import { SpecialMatcher } from "./special_matcher.ts";
import { readSpecialTokens } from "./special_tokens.ts";
import { type PlainTextEncoder, textEncoder } from "./text_encoder.ts";
import { TokenType } from "./token_text.ts";
import { Vocabulary, vocabularyBytes } from "./vocabulary.ts";
import { readVocabulary, type VocabularySource } from "./vocabulary_source.ts";

/** How {@link Tokenizer.encode} treats special tokens. */
export interface EncodeOptions {
  /** Put BOS in front and EOS behind where the model wants them. Default true. */
  readonly addSpecial?: boolean;
  /** The texts of control tokens in the input become these tokens. Default false: they are plain text. */
  readonly parseSpecial?: boolean;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Control tokens appear as their text. Default false: they are left out. */
  readonly special?: boolean;
}

/**
 * The exact bytes that {@link createTokenizer} needs in its region. Builds nothing.
 * @throws {UnsupportedModelError} For a kind of tokenizer or pre-tokenizer that is not known.
 * @throws {GgufError} For a vocabulary that contradicts itself.
 */
export function planVocabulary(metadata: Metadata): { bytes: number } {
  const source = readVocabulary(metadata);
  readSpecialTokens(source);
  return { bytes: vocabularyBytes(source) };
}

/**
 * Builds the tokenizer that the metadata describes. It keeps no object per token, and nothing of the metadata's arrays.
 * @param region Where the vocabulary goes: `planVocabulary(metadata).bytes` bytes at a multiple of 4, in memory that
 * stays in place as long as the tokenizer is used.
 * @throws {UnsupportedModelError} For a kind of tokenizer or pre-tokenizer that is not known.
 * @throws {GgufError} For a vocabulary that contradicts itself.
 * @throws {OptionError} For a region that is too small or not aligned.
 *
 * @example
 * ```ts
 * import { Metadata } from "../gguf/metadata.ts";
 * import { createTokenizer, planVocabulary } from "./tokenizer.ts";
 *
 * const strings = (...all: string[]) => {
 *   const offsets = new Uint32Array(all.length + 1);
 *   all.forEach((s, i) => (offsets[i + 1] = offsets[i] + s.length));
 *   return { length: all.length, bytes: new TextEncoder().encode(all.join("")), offsets };
 * };
 * const metadata = new Metadata(new Map(Object.entries({
 *   "tokenizer.ggml.model": "gpt2",
 *   "tokenizer.ggml.pre": "gpt-2",
 *   "tokenizer.ggml.tokens": strings("a", "b", "ab"),
 *   "tokenizer.ggml.merges": strings("a b"),
 * }).map(([key, value]) => [key, { value, offset: 0 }])));
 * const tokenizer = createTokenizer(metadata, new Uint8Array(planVocabulary(metadata).bytes));
 * tokenizer.encode("abba"); // [2, 1, 0]
 * tokenizer.decode([2, 1, 0]); // "abba"
 * ```
 */
export function createTokenizer(metadata: Metadata, region: Uint8Array): Tokenizer {
  return new Tokenizer(readVocabulary(metadata), region);
}

/** Text to ids and back. Get one from {@link createTokenizer}. */
export class Tokenizer implements TokenBytes {
  readonly nVocab: number;
  /** Absent where the vocabulary has no such token. */
  readonly bosId?: number;
  readonly eosId?: number;
  /** Tokens that end a generation: end of text, of turn, of message. */
  readonly eogIds: ReadonlySet<number>;
  /** Whether {@link encode} puts BOS in front. */
  readonly addBos: boolean;
  /** Whether {@link encode} puts EOS behind. */
  readonly addEos: boolean;
  readonly prefixedBosId?: number;
  readonly #vocabulary: Vocabulary;
  readonly #text: PlainTextEncoder;
  readonly #special: SpecialMatcher;
  readonly #stripAfterSpecial: boolean;

  constructor(source: VocabularySource, region: Uint8Array) {
    const roles = readSpecialTokens(source);
    this.bosId = roles.bosId;
    this.eosId = roles.eosId;
    this.eogIds = roles.eogIds;
    this.addBos = roles.addBos;
    this.addEos = roles.addEos;
    this.#vocabulary = new Vocabulary(source, region);
    this.nVocab = this.#vocabulary.nTokens;
    this.#text = textEncoder(source, this.#vocabulary, roles.unkId);
    this.#special = new SpecialMatcher(this.#vocabulary);
    const prefixed = source.kind !== "bpe" &&
      source.metadata.boolean("tokenizer.ggml.add_space_prefix", true);
    this.prefixedBosId = prefixed ? roles.bosId : undefined;
    // Phi-3 drops the white space after its added tokens; GGUF has no key for it, only the model's name tells.
    this.#stripAfterSpecial = /phi-?3/i.test(source.metadata.string("general.name", ""));
  }

  /** What each token stands for, a control token's text included: views, read only. */
  get texts(): GgufStrings {
    const { nTokens, blob, offsets } = this.#vocabulary;
    return { length: nTokens, bytes: blob, offsets };
  }

  /** The ids of a text. Any text has ids: what no token covers becomes byte tokens or the unknown token. */
  encode(text: string, { addSpecial = true, parseSpecial = false }: EncodeOptions = {}): number[] {
    const ids: number[] = [];
    if (addSpecial && this.addBos) ids.push(this.bosId!);
    let from = 0;
    while (this.#special.next(text, from, parseSpecial)) {
      const { id, start, end } = this.#special;
      if (start > from) this.#text.encode(text.slice(from, start), ids);
      ids.push(id);
      from = this.#stripsAfter(id) ? skipSpace(text, end) : end;
    }
    if (from < text.length) this.#text.encode(from > 0 ? text.slice(from) : text, ids);
    if (addSpecial && this.addEos) ids.push(this.eosId!);
    return ids;
  }

  /**
   * The bytes that a token stands for, a control token's text included. A view: read only.
   * @throws {OptionError} For an id outside the vocabulary.
   */
  tokenBytes(id: number): Uint8Array {
    this.#check(id);
    return this.#vocabulary.tokenBytes(id);
  }

  /** Whether a token is left out of text: a control token, or the unknown token. */
  isControl(id: number): boolean {
    const type = this.#vocabulary.type(id);
    return type === TokenType.control || type === TokenType.unknown;
  }

  /**
   * The text of ids. The space that SentencePiece puts in front of a text is taken away again where the ids start with
   * BOS; ids without BOS may continue a text and keep it.
   * @throws {OptionError} For an id outside the vocabulary.
   */
  decode(ids: readonly number[], { special = false }: DecodeOptions = {}): string {
    const detokenizer = new Detokenizer(this, special);
    const parts = ids.map((id) => detokenizer.bytes(id));
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }

  /** A stream of ids to text that never emits half a character. */
  stream({ special = false }: DecodeOptions = {}): Detokenizer {
    return new Detokenizer(this, special);
  }

  #stripsAfter(id: number): boolean {
    if (!this.#stripAfterSpecial) return false;
    return !["<unk>", "<s>", "<|endoftext|>"].includes(new TextDecoder().decode(this.tokenBytes(id)));
  }

  #check(id: number): void {
    if (Number.isInteger(id) && id >= 0 && id < this.nVocab) return;
    throw new OptionError("token id", id, `0 to ${this.nVocab - 1}`);
  }
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && " \t\n\v\f\r".includes(text[at])) at++;
  return at;
}
