import type { Tokenizer } from "../tokenizer/mod.ts";

/**
 * The ids of a text that a reply is to follow: BOS in front where the model wants it, once even if the text brings
 * its own, and no EOS behind. No text at all is BOS, or EOS where the model has no BOS: what stands before any text.
 *
 * @param options.parseSpecial The text comes from a chat template, whose special tokens count as such.
 */
export function encodePrompt(
  tokenizer: Tokenizer,
  text: string,
  options: { parseSpecial?: boolean } = {},
): number[] {
  const { bosId, eosId, addBos, addEos } = tokenizer;
  const ids = tokenizer.encode(text, options);
  if (addEos) ids.pop();
  if (addBos && ids[1] === bosId) ids.shift();
  const start = bosId ?? eosId;
  if (ids.length === 0 && start !== undefined) ids.push(start);
  return ids;
}
