/**
 * The anchors that a model was trained with, as its file declares them:
 *
 *     locket.anchor.separators   texts; a token that holds one is an anchor
 *     locket.anchor.sees         "anchors" or "segment": what an anchor sees beside the running segment
 *     locket.anchor.layers       for each layer the one whose anchors it reads too, itself for none
 *
 * @module
 */
import { anchorPolicy } from "../cache/policies/anchor.ts";
import type { Policy } from "../cache/policy.ts";
import { UnsupportedModelError } from "../error.ts";
import type { Metadata } from "../gguf/mod.ts";

/** Every token is looked at for each of them. */
const MOST_SEPARATORS = 64;

/**
 * The policy that a file declares; `undefined` where it declares none.
 *
 * @throws {GgufError} When a key is of the wrong type.
 * @throws {UnsupportedModelError} When the rule is none that is known.
 */
export function declaredAnchors(metadata: Metadata): Policy | undefined {
  const found = metadata.strings("locket.anchor.separators");
  if (found === undefined) return undefined;
  const { length, bytes, offsets } = found;
  if (length === 0 || length > MOST_SEPARATORS) {
    throw new UnsupportedModelError("number of separators", length, [`1 to ${MOST_SEPARATORS}`]);
  }
  const sees = metadata.string("locket.anchor.sees", "anchors");
  if (sees !== "anchors" && sees !== "segment") {
    throw new UnsupportedModelError("what anchors see", sees, ["anchors", "segment"]);
  }
  const text = new TextDecoder();
  const separators = Array.from(
    { length },
    (_, i) => text.decode(bytes.subarray(offsets[i], offsets[i + 1])),
  );
  const numbers = metadata.numbers("locket.anchor.layers");
  const layers = numbers && Array.from(numbers, Number);
  return anchorPolicy(separators, { sees, ...(layers !== undefined && { layers }) });
}
