/**
 * The vocabulary, flat in one region of memory: no JS object, string or map entry per token. The region holds, in
 * this order (Uint32 parts first, so that 4-byte alignment of the region is enough):
 *
 * ```text
 * offsets        u32 [nTokens + 1]     token id -> its bytes in the blob
 * byteIds        u32 [256]             byte -> id of the token that is just this byte, NO_TOKEN where there is none
 * tokenSlots     u32 [~1.5 nPlain]     bytes -> id, tokens that text is made of
 * specialSlots   u32 [~1.5 nSpecial]   bytes -> id, control, unknown and user-defined tokens
 * merges         u32 [3 nMerges], slots u32 [~1.5 nMerges]     byte-level BPE only
 * scores         f32 [nTokens]         SentencePiece only
 * types          u8  [nTokens]         token type in the low bits, two memo bits of the encoder above
 * charsmap       u8                    SentencePiece's normaliser, where the file has one
 * blob           u8                    plain bytes of all tokens
 * ```
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { ByteIndex, slotCount } from "./byte_index.ts";
import { NO_TOKEN } from "./merge.ts";
import { MergeIndex } from "./merge_index.ts";
import { decodeToken, TokenType } from "./token_text.ts";
import { fault, type VocabularySource } from "./vocabulary_source.ts";

const TYPE_BITS = 0x0f;
const WHOLE = 0x40;
const NOT_WHOLE = 0x80;

/** Counts from which the layout of the region follows. */
interface Counts {
  readonly nTokens: number;
  readonly nPlain: number;
  readonly nSpecial: number;
  readonly nMerges: number;
  readonly blobBytes: number;
}

/** How many bytes the vocabulary takes in its region, without building it. */
export function vocabularyBytes(source: VocabularySource): number {
  const counts = count(source);
  return wordCount(source, counts) * 4 + counts.nTokens + source.charsmap.length + counts.blobBytes;
}

function wordCount(source: VocabularySource, { nTokens, nPlain, nSpecial, nMerges }: Counts): number {
  const merges = source.merges ? 3 * nMerges + slotCount(nMerges) : 0;
  return nTokens + 1 + 256 + slotCount(nPlain) + slotCount(nSpecial) + merges + (source.scores ? nTokens : 0);
}

function count(source: VocabularySource): Counts {
  const { tokens, types } = source;
  let blobBytes = 0;
  let nPlain = 0;
  let nSpecial = 0;
  for (let id = 0; id < tokens.length; id++) {
    const bytes = decodeToken(
      tokens.bytes,
      tokens.offsets[id],
      tokens.offsets[id + 1],
      types[id],
      source.writing,
    );
    if (bytes < 0) {
      throw fault(
        source.metadata,
        "tokenizer.ggml.tokens",
        `byte token ${id} is not one of <0x00> to <0xFF>`,
      );
    }
    blobBytes += bytes;
    if (isSpecial(types[id])) nSpecial++;
    else if (types[id] !== TokenType.byte) nPlain++;
  }
  return { nTokens: tokens.length, nPlain, nSpecial, nMerges: source.merges?.length ?? 0, blobBytes };
}

function isSpecial(type: number): boolean {
  return type === TokenType.control || type === TokenType.unknown || type === TokenType.userDefined;
}

/** The tables of one vocabulary: views into its region, filled once by the constructor. */
export class Vocabulary {
  readonly nTokens: number;
  /** Bytes of the longest token that text is made of. */
  readonly maxTokenBytes: number;
  /** No token goes on with a space after something else, so a text can be merged word by word. */
  readonly wordsApart: boolean;
  /** Every token's bytes: token `id` is `blob[offsets[id], offsets[id + 1])`. */
  readonly blob: Uint8Array;
  readonly offsets: Uint32Array;
  /** Token of each single byte, or `NO_TOKEN`. */
  readonly byteIds: Uint32Array;
  /** Empty but for SentencePiece. */
  readonly scores: Float32Array;
  readonly charsmap: Uint8Array;
  /** Tokens that text is made of, by their bytes. */
  readonly plain: ByteIndex;
  /** Control, unknown and user-defined tokens, by their bytes. */
  readonly special: ByteIndex;
  readonly merges: MergeIndex;
  readonly #types: Uint8Array;

  /**
   * @param region At least `vocabularyBytes(source)` bytes, its start a multiple of 4.
   * @throws {OptionError} When the region is too small or not aligned.
   * @throws {GgufError} When a merge names a token that the vocabulary doesn't have.
   */
  constructor(source: VocabularySource, region: Uint8Array) {
    const counts = count(source);
    const { nTokens, nMerges } = counts;
    const wanted = wordCount(source, counts) * 4 + nTokens + source.charsmap.length + counts.blobBytes;
    if (region.length < wanted) throw new OptionError("region.length", region.length, `at least ${wanted}`);
    if (region.byteOffset % 4 !== 0) {
      throw new OptionError("region.byteOffset", region.byteOffset, "a multiple of 4");
    }
    let at = region.byteOffset;
    const words = (n: number) => new Uint32Array(region.buffer, (at += 4 * n) - 4 * n, n);
    const bytes = (n: number) => new Uint8Array(region.buffer, (at += n) - n, n);

    this.nTokens = nTokens;
    this.offsets = words(nTokens + 1);
    this.byteIds = words(256).fill(NO_TOKEN);
    const plainSlots = words(slotCount(counts.nPlain));
    const specialSlots = words(slotCount(counts.nSpecial));
    const mergeWords = source.merges ? nMerges : 0;
    const [left, right, joined] = [words(mergeWords), words(mergeWords), words(mergeWords)];
    const mergeSlots = words(source.merges ? slotCount(nMerges) : 0);
    const nScores = source.scores ? nTokens : 0;
    this.scores = new Float32Array(region.buffer, (at += 4 * nScores) - 4 * nScores, nScores);
    this.#types = bytes(nTokens);
    this.charsmap = bytes(source.charsmap.length);
    this.blob = bytes(counts.blobBytes);

    this.#types.set(source.types);
    this.charsmap.set(source.charsmap);
    for (let id = 0; id < nScores; id++) this.scores[id] = Number(source.scores![id]);
    this.plain = new ByteIndex(plainSlots, this.blob, this.offsets);
    this.special = new ByteIndex(specialSlots, this.blob, this.offsets);
    const { longest, apart } = this.#fillTokens(source);
    this.maxTokenBytes = longest;
    this.wordsApart = apart;
    this.merges = new MergeIndex(mergeSlots, left, right, joined);
    if (source.merges) this.#fillMerges(source);
  }

  /** The type of a token, a `TokenType`. */
  type(id: number): number {
    return this.#types[id] & TYPE_BITS;
  }

  /** The bytes that a token stands for: a view, to be read only. */
  tokenBytes(id: number): Uint8Array {
    return this.blob.subarray(this.offsets[id], this.offsets[id + 1]);
  }

  /** Whether merging the bytes of this token gives just this token; `undefined` until {@link setWhole} told. */
  isWhole(id: number): boolean | undefined {
    const memo = this.#types[id] & (WHOLE | NOT_WHOLE);
    return memo === 0 ? undefined : memo === WHOLE;
  }

  setWhole(id: number, whole: boolean): void {
    this.#types[id] |= whole ? WHOLE : NOT_WHOLE;
  }

  #fillTokens(source: VocabularySource): { longest: number; apart: boolean } {
    const { tokens, types } = source;
    let longest = 0;
    let apart = true;
    let at = 0;
    for (let id = 0; id < this.nTokens; id++) {
      const type = types[id];
      const n = decodeToken(
        tokens.bytes,
        tokens.offsets[id],
        tokens.offsets[id + 1],
        type,
        source.writing,
        this.blob,
        at,
      );
      this.offsets[id] = at;
      this.offsets[id + 1] = at + n;
      if (type === TokenType.byte) {
        this.byteIds[this.blob[at]] = id;
      } else if (n > 0) {
        (isSpecial(type) ? this.special : this.plain).insert(id);
        if (!isSpecial(type)) {
          longest = Math.max(longest, n);
          apart &&= !hasInnerSpace(this.blob, at, at + n);
          if (n === 1 && source.writing === "byteLevel") this.byteIds[this.blob[at]] = id;
        }
      }
      at += n;
    }
    return { longest, apart };
  }

  /** A merge is `left right` in the file's writing; its tokens and the one it makes must exist. */
  #fillMerges(source: VocabularySource): void {
    const { bytes, offsets } = source.merges!;
    let longest = 0;
    for (let rank = 0; rank < source.merges!.length; rank++) {
      longest = Math.max(longest, offsets[rank + 1] - offsets[rank]);
    }
    const pair = new Uint8Array(longest);
    for (let rank = 0; rank < source.merges!.length; rank++) {
      const start = offsets[rank];
      const end = offsets[rank + 1];
      // A token may start with a space where tokens are not in GPT-2's alphabet, so the first byte can't part them.
      const gap = bytes.indexOf(0x20, start + 1);
      if (gap < 0 || gap + 1 >= end) this.#refuseMerge(source, rank, "is not two tokens parted by a space");
      const middle = decodeToken(bytes, start, gap, TokenType.normal, source.writing, pair, 0);
      const stop = middle + decodeToken(bytes, gap + 1, end, TokenType.normal, source.writing, pair, middle);
      const left = this.#findAny(pair, 0, middle);
      const right = this.#findAny(pair, middle, stop);
      const joined = this.#findAny(pair, 0, stop);
      if (left < 0 || right < 0 || joined < 0) {
        const which = left < 0 ? "left part" : right < 0 ? "right part" : "result";
        this.#refuseMerge(source, rank, `has a ${which} that is no token`);
      }
      // Plain text must never become a control token, however its file merges.
      const reachable = this.type(joined) !== TokenType.control && this.type(joined) !== TokenType.unknown;
      if (reachable) this.merges.insert(rank, left, right, joined);
    }
  }

  #findAny(bytes: Uint8Array, start: number, end: number): number {
    const id = this.plain.find(bytes, start, end);
    return id >= 0 ? id : this.special.find(bytes, start, end);
  }

  #refuseMerge(source: VocabularySource, rank: number, what: string): never {
    const { bytes, offsets } = source.merges!;
    const text = new TextDecoder().decode(
      bytes.subarray(offsets[rank], Math.min(offsets[rank + 1], offsets[rank] + 80)),
    );
    throw fault(source.metadata, "tokenizer.ggml.merges", `merge ${rank} (${JSON.stringify(text)}) ${what}`);
  }
}

/** A space that follows something else than a space. */
function hasInnerSpace(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start + 1; i < end; i++) if (bytes[i] === 0x20 && bytes[i - 1] !== 0x20) return true;
  return false;
}
