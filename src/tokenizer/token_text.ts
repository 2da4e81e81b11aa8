/**
 * From a token as the file writes it to the bytes it stands for. Files write tokens in one of three ways: byte-level
 * BPE in GPT-2's alphabet, where every byte is one printable character; SentencePiece with U+2581 for a space; and
 * byte tokens as `<0x0A>`. The vocabulary keeps the plain bytes only, so the hot paths never translate.
 *
 * @module
 */
import { copyBytes } from "../gguf/copy_bytes.ts";

/** Token types of `tokenizer.ggml.token_type`. */
export const TokenType = {
  undefined: 0,
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** How a vocabulary writes its tokens: `byteLevel` in GPT-2's alphabet, `spaces` with U+2581 for a space. */
export type TokenWriting = "byteLevel" | "spaces";

/**
 * GPT-2's alphabet: bytes that are printable in Latin-1 stand for themselves, the other 68 are moved to U+0100 and up
 * in order. The table leads from a code point below 324 to its byte, -1 for code points outside the alphabet.
 */
const ALPHABET = /* @__PURE__ */ (() => {
  const bytes = new Int16Array(324).fill(-1);
  let moved = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    bytes[printable ? byte : moved++] = byte;
  }
  return bytes;
})();

/**
 * Writes the bytes that one token stands for into `out` at `at` and returns their count; without `out` it only counts.
 * @param source The token as in the file is `source[start, end)`, UTF-8.
 * @returns -1 for a byte token that is not written as `<0x00>` to `<0xFF>`.
 */
export function decodeToken(
  source: Uint8Array,
  start: number,
  end: number,
  type: number,
  writing: TokenWriting,
  out?: Uint8Array,
  at = 0,
): number {
  if (type === TokenType.byte) {
    const byte = hexByte(source, start, end);
    if (byte >= 0 && out) out[at] = byte;
    return byte >= 0 ? 1 : -1;
  }
  // Special tokens are written as they look in the text, whatever the alphabet of the others.
  const special = type === TokenType.control || type === TokenType.unknown;
  if (writing === "spaces") {
    return special ? copy(source, start, end, out, at) : unescapeSpaces(source, start, end, out, at);
  }
  if (special || type === TokenType.userDefined) return copy(source, start, end, out, at);
  return byteLevel(source, start, end, out, at);
}

function copy(
  source: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array | undefined,
  at: number,
): number {
  if (out !== undefined) copyBytes(source, start, end, out, at);
  return end - start;
}

/** A token that leaves the alphabet (a file's own addition) is taken as it is written. */
function byteLevel(
  source: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array | undefined,
  at: number,
): number {
  let n = 0;
  for (let i = start; i < end; n++) {
    const lead = source[i];
    const wide = lead >= 0xc0 && lead < 0xe0 && i + 1 < end;
    const point = wide ? ((lead & 31) << 6) | (source[i + 1] & 63) : lead < 0x80 ? lead : 324;
    if (point >= 324 || ALPHABET[point] < 0) return copy(source, start, end, out, at);
    if (out) out[at + n] = ALPHABET[point];
    i += wide ? 2 : 1;
  }
  return n;
}

/** Copies `source[start, end)` with U+2581 (E2 96 81) as a space; in place where `out` is `source`. Returns the count. */
export function unescapeSpaces(
  source: Uint8Array,
  start: number,
  end: number,
  out?: Uint8Array,
  at = 0,
): number {
  let n = 0;
  for (let i = start; i < end; n++) {
    const space = source[i] === 0xe2 && i + 2 < end && source[i + 1] === 0x96 && source[i + 2] === 0x81;
    if (out) out[at + n] = space ? 0x20 : source[i];
    i += space ? 3 : 1;
  }
  return n;
}

function hexByte(source: Uint8Array, start: number, end: number): number {
  if (
    end - start !== 6 || source[start] !== 0x3c || source[start + 1] !== 0x30 || source[start + 2] !== 0x78
  ) return -1;
  const high = hexDigit(source[start + 3]);
  const low = hexDigit(source[start + 4]);
  return source[start + 5] === 0x3e && high >= 0 && low >= 0 ? high * 16 + low : -1;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}
