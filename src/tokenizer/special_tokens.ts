/**
 * Which tokens start and end a text or a turn, from the file's ids, flags and well-known texts.
 *
 * @module
 */
import { isEndOfGeneration, MAX_END_TEXT } from "./end_texts.ts";
import { fault, type VocabularySource } from "./vocabulary_source.ts";

/** The tokens with a role. An absent id means that the vocabulary has no such token. */
export interface SpecialTokens {
  readonly bosId?: number;
  readonly eosId?: number;
  readonly unkId?: number;
  /** Ids that end a generation. */
  readonly eogIds: ReadonlySet<number>;
  /** Whether `encode` puts BOS in front. */
  readonly addBos: boolean;
  /** Whether `encode` puts EOS at the end. */
  readonly addEos: boolean;
}

/** Ids and flags where the file has none: SentencePiece's own, and T5's. Byte-level BPE has no defaults. */
const DEFAULTS = {
  bpe: { bos: undefined, eos: undefined, unk: undefined, addBos: false, addEos: false },
  spm: { bos: 1, eos: 2, unk: 0, addBos: true, addEos: false },
  unigram: { bos: undefined, eos: 1, unk: 2, addBos: false, addEos: true },
} as const;

/**
 * Reads the roles of the tokens.
 * @throws {GgufError} For an id outside the vocabulary, or BOS or EOS asked for and not there.
 */
export function readSpecialTokens(source: VocabularySource): SpecialTokens {
  const { metadata, tokens } = source;
  const defaults = DEFAULTS[source.kind];
  const id = (name: string, fallback?: number): number | undefined => {
    const key = `tokenizer.ggml.${name}_token_id`;
    if (!metadata.has(key)) return fallback !== undefined && fallback < tokens.length ? fallback : undefined;
    const value = metadata.number(key);
    if (Number.isInteger(value) && value >= 0 && value < tokens.length) return value;
    throw fault(metadata, key, `id is ${value}, wanted one of the ${tokens.length} tokens`);
  };
  const bosId = id("bos", defaults.bos);
  const eosId = id("eos", defaults.eos);
  const unkId = id("unknown", defaults.unk);
  const flag = (name: string, fallback: boolean, token: number | undefined): boolean => {
    const key = `tokenizer.ggml.add_${name}_token`;
    if (!metadata.has(key)) return fallback && token !== undefined;
    if (metadata.boolean(key) && token === undefined) {
      throw fault(metadata, key, `is true, but the vocabulary has no ${name.toUpperCase()} token`);
    }
    return metadata.boolean(key);
  };
  const addBos = flag("bos", source.preTokenizer?.addBos ?? defaults.addBos, bosId);
  const addEos = flag("eos", defaults.addEos, eosId);

  const eogIds = new Set<number>();
  for (const end of [eosId, id("eot"), id("eom")]) if (end !== undefined) eogIds.add(end);
  const decoder = new TextDecoder();
  const byText = new Map<string, number>();
  for (let token = 0; token < tokens.length; token++) {
    const start = tokens.offsets[token];
    const end = tokens.offsets[token + 1];
    if (end - start > MAX_END_TEXT || !isEndOfGeneration(tokens.bytes, start, end, decoder)) continue;
    eogIds.add(token);
    byText.set(decoder.decode(tokens.bytes.subarray(start, end)), token);
  }
  // In the harmony format <|end|> parts the messages of one turn; <|return|> and <|call|> end it.
  const part = byText.get("<|end|>");
  if (part !== undefined && byText.has("<|return|>") && byText.has("<|call|>") && part !== eosId) {
    eogIds.delete(part);
  }
  return { bosId, eosId, unkId, eogIds, addBos, addEos };
}
