/**
 * SentencePiece's normaliser: the file's precompiled character map (NFKC and the like), then the rules for spaces.
 * Spaces stay spaces here, since the vocabulary holds its U+2581 as spaces too.
 *
 * The map is a darts-clone double array over UTF-8 byte sequences and a blob of zero-ended replacements:
 * `u32 bytes of the array | array of u32 units | replacements`. In a unit, bit 8 says that a value hangs below, the low
 * byte (with bit 31) is the label, and the rest is the offset to the children; a unit below with bit 31 is a value.
 * Source: Kudo, Richardson 2018, arXiv 1808.06226; the file format of google/sentencepiece and s-yata/darts-clone.
 *
 * @module
 */
import type { Metadata } from "../gguf/metadata.ts";
import { unescapeSpaces } from "./token_text.ts";
import { utf8Length } from "./utf8.ts";
import { fault } from "./vocabulary_source.ts";

const CHARSMAP = "tokenizer.ggml.precompiled_charsmap";
const SPACE = 0x20;

/** Normalises texts to UTF-8 for SentencePiece vocabularies. */
export class Normalizer {
  readonly #metadata: Metadata;
  readonly #map: Uint8Array;
  readonly #units: DataView;
  readonly #nUnits: number;
  readonly #replacements: number;
  readonly #addPrefix: boolean;
  readonly #removeExtra: boolean;
  readonly #encoder = new TextEncoder();

  /**
   * @param map The precompiled map; empty where the text stays as it is.
   * @throws {GgufError} When the map's length contradicts its header.
   */
  constructor(metadata: Metadata, map: Uint8Array) {
    this.#metadata = metadata;
    this.#map = map;
    this.#addPrefix = metadata.boolean("tokenizer.ggml.add_space_prefix", true);
    this.#removeExtra = metadata.boolean("tokenizer.ggml.remove_extra_whitespaces", false);
    this.#units = new DataView(map.buffer, map.byteOffset, map.byteLength);
    const arrayBytes = map.length >= 4 ? this.#units.getUint32(0, true) : 0;
    this.#nUnits = arrayBytes / 4;
    this.#replacements = 4 + arrayBytes;
    const sound = map.length === 0 || (map.length >= 8 && arrayBytes % 4 === 0 && arrayBytes >= 4 &&
      this.#replacements < map.length && map[map.length - 1] === 0);
    if (!sound) throw fault(metadata, CHARSMAP, `map of ${map.length} bytes contradicts its header`);
  }

  /** The bytes that pieces are looked for in. */
  normalize(text: string): Uint8Array {
    const asIs = this.#map.length === 0 && !this.#removeExtra;
    const prefix = this.#addPrefix && text.length > 0 ? " " : "";
    const bytes = asIs ? this.#encoder.encode(prefix + text) : this.#rewrite(this.#encoder.encode(text));
    return bytes.subarray(0, unescapeSpaces(bytes, 0, bytes.length, bytes));
  }

  #rewrite(bytes: Uint8Array): Uint8Array {
    const out: number[] = this.#addPrefix ? [SPACE] : [];
    const kept = out.length;
    // With removeExtra a space is written only when something follows it, and none at the start.
    let pending = false;
    const write = (source: Uint8Array, start: number, end: number) => {
      for (let i = start; i < end; i++) {
        if (!this.#removeExtra || source[i] !== SPACE) {
          if (pending) out.push(SPACE);
          pending = false;
          out.push(source[i]);
        } else {
          pending = out.length > kept;
        }
      }
    };
    for (let at = 0; at < bytes.length;) {
      const matched = this.#longestMatch(bytes, at);
      if (matched > 0) {
        const start = this.#replacement;
        write(this.#map, start, this.#map.indexOf(0, start));
        at += matched;
      } else {
        const end = at + utf8Length(bytes[at]);
        write(bytes, at, end);
        at = end;
      }
    }
    return Uint8Array.from(out.length > kept ? out : []);
  }

  /** Where the replacement of the last match starts in the map. */
  #replacement = 0;

  /** Bytes of the longest sequence at `at` that the map replaces, 0 for none. */
  #longestMatch(bytes: Uint8Array, at: number): number {
    if (this.#nUnits === 0) return 0;
    let longest = 0;
    let node = childOffset(this.#unit(0));
    for (let i = at; i < bytes.length && bytes[i] !== 0; i++) {
      node ^= bytes[i];
      const unit = this.#unit(node);
      if ((unit & 0x800000ff) !== bytes[i]) break;
      node ^= childOffset(unit);
      if ((unit & 0x100) === 0) continue;
      longest = i - at + 1;
      this.#replacement = this.#replacements + (this.#unit(node) & 0x7fffffff);
      if (this.#replacement >= this.#map.length) this.#refuse();
    }
    return longest;
  }

  #unit(index: number): number {
    if (index < 0 || index >= this.#nUnits) this.#refuse();
    return this.#units.getUint32(4 + 4 * index, true);
  }

  #refuse(): never {
    throw fault(this.#metadata, CHARSMAP, "the map points outside itself");
  }
}

function childOffset(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
