/**
 * The texts of the tokens that end a turn.
 *
 * @module
 */

/** Texts by which model families end a turn or a message; many files name only one of theirs by id. */
const END_TEXTS: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<end_of_turn>",
  "<turn|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<EOT>",
  "[EOT]",
  "<end_of_utterance>",
  "<｜end▁of▁sentence｜>",
  "[e~[",
]);

/** Bytes of the longest of the texts. */
export const MAX_END_TEXT = 27;

/** Whether a token's text is one by which a model ends its turn. Short-cut by its first byte, `<` or `[`. */
export function isEndOfGeneration(
  bytes: Uint8Array,
  start: number,
  end: number,
  decoder: TextDecoder,
): boolean {
  if (bytes[start] !== 0x3c && bytes[start] !== 0x5b) return false;
  return END_TEXTS.has(decoder.decode(bytes.subarray(start, end)));
}
