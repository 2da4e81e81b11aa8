/**
 * Classes of tokens by their text: line ends, separators, anchors.
 *
 * @module
 */
import type { Tokenizer } from "../tokenizer/mod.ts";

/**
 * Writes 1 for every token whose text holds one of `texts`, 0 for all others. Control tokens have no text.
 *
 * @param classes `[V]`.
 */
export function writeClasses(classes: Uint8Array, tokenizer: Tokenizer, texts: readonly string[]): void {
  const wanted = texts.map((text) => new TextEncoder().encode(text));
  classes.fill(0);
  for (let id = 0; id < tokenizer.nVocab; id++) {
    if (tokenizer.isControl(id)) continue;
    const bytes = tokenizer.tokenBytes(id);
    if (wanted.some((text) => holds(bytes, text))) classes[id] = 1;
  }
}

function holds(bytes: Uint8Array, text: Uint8Array): boolean {
  for (let start = 0; start + text.length <= bytes.length; start++) {
    if (text.every((byte, i) => bytes[start + i] === byte)) return true;
  }
  return false;
}
