/**
 * A stretch of plain text, without special tokens in it, to ids: what differs between the kinds of tokenizers.
 *
 * @module
 */
import type { PairTable } from "./merge.ts";
import { Normalizer } from "./normalizer.ts";
import { UnigramEncoder } from "./unigram.ts";
import type { Vocabulary } from "./vocabulary.ts";
import type { VocabularySource } from "./vocabulary_source.ts";
import { WordEncoder } from "./word_encoder.ts";
import { WordSplitter } from "./word_splitter.ts";
import { writeUtf8 } from "./utf8.ts";

/** Appends the ids of a text to `out`. */
export interface PlainTextEncoder {
  encode(text: string, out: number[]): void;
}

/** The encoder for a vocabulary. */
export function textEncoder(
  source: VocabularySource,
  vocabulary: Vocabulary,
  unkId?: number,
): PlainTextEncoder {
  if (source.kind === "bpe") return new BpeEncoder(source, vocabulary, unkId);
  const normalizer = new Normalizer(source.metadata, vocabulary.charsmap);
  const words = source.kind === "spm"
    ? new WordEncoder(vocabulary, new PieceScores(vocabulary), "characters", false, unkId)
    : new UnigramEncoder(vocabulary, unkId);
  return new SentencePieceEncoder(normalizer, words, vocabulary.wordsApart);
}

/** Byte-pair encoding inside the words of a pre-tokenizer. */
class BpeEncoder implements PlainTextEncoder {
  readonly #splitter: WordSplitter;
  readonly #words: WordEncoder;
  readonly #lineBreaks: boolean;
  readonly #vocabulary: Vocabulary;
  #bytes = new Uint8Array(1024);

  constructor(source: VocabularySource, vocabulary: Vocabulary, unkId?: number) {
    const preTokenizer = source.preTokenizer!;
    const raw = source.writing === "spaces";
    this.#splitter = new WordSplitter(preTokenizer);
    this.#words = new WordEncoder(
      vocabulary,
      vocabulary.merges,
      raw ? "characters" : "bytes",
      preTokenizer.wholeWords ?? false,
      unkId,
    );
    this.#vocabulary = vocabulary;
    this.#lineBreaks = raw;
  }

  encode(text: string, out: number[]): void {
    this.#words.start();
    if (this.#lineBreaks) text = text.replaceAll("\u2581", " ");
    this.#splitter.forEach(text, (start, end) => {
      if (this.#bytes.length < 3 * (end - start)) this.#bytes = new Uint8Array(3 * (end - start));
      const n = writeUtf8(text, start, end, this.#bytes, 0);
      // A run of line breaks that is a token is taken whole: their merges are not in the files.
      const breaks = this.#lineBreaks && this.#bytes[0] === 0x0a
        ? this.#vocabulary.plain.find(this.#bytes, 0, n)
        : -1;
      if (breaks >= 0) out.push(breaks);
      else this.#words.encode(this.#bytes, 0, n, out);
    });
    if (this.#bytes.length > 65536) this.#bytes = new Uint8Array(1024);
  }
}

/** Which pieces join in SentencePiece BPE: those that are a piece together, the best score first. */
class PieceScores implements PairTable {
  joined = 0;
  readonly #vocabulary: Vocabulary;

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  priority(_left: number, _right: number, bytes: Uint8Array, start: number, end: number): number {
    if (end - start > this.#vocabulary.maxTokenBytes) return Infinity;
    this.joined = this.#vocabulary.plain.find(bytes, start, end);
    return this.joined < 0 ? Infinity : -this.#vocabulary.scores[this.joined];
  }
}

/** SentencePiece: a normalised text, its words taken one by one where no piece reaches across their edge. */
class SentencePieceEncoder implements PlainTextEncoder {
  constructor(
    readonly normalizer: Normalizer,
    readonly words: WordEncoder | UnigramEncoder,
    readonly wordsApart: boolean,
  ) {}

  encode(text: string, out: number[]): void {
    const bytes = this.normalizer.normalize(text);
    this.words.start();
    let start = 0;
    if (this.wordsApart) {
      for (let i = 1; i < bytes.length; i++) {
        if (bytes[i] !== 0x20 || bytes[i - 1] === 0x20) continue;
        this.words.encode(bytes, start, i, out);
        start = i;
      }
    }
    if (start < bytes.length) this.words.encode(bytes, start, bytes.length, out);
  }
}
