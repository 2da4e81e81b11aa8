import { assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { flat, metadataOf, tokenizerOf } from "./support.ts";

/** The highest sum of scores over all segmentations, by trying them all. */
function bestSum(text: string, scores: ReadonlyMap<string, number>, unknown: number): number {
  if (text === "") return 0;
  let best = -Infinity;
  for (let n = 1; n <= text.length; n++) {
    const score = scores.get(text.slice(0, n)) ?? (n === 1 ? unknown : -Infinity);
    if (score > -Infinity) best = Math.max(best, score + bestSum(text.slice(n), scores, unknown));
  }
  return best;
}

Deno.test("unigram encode() finds the segmentation with the highest sum of scores", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", " "), minLength: 1, maxLength: 3 });
  const vocabulary = fc.uniqueArray(fc.tuple(letters, fc.integer({ min: -20, max: -1 })), {
    selector: ([piece]) => piece,
    minLength: 1,
    maxLength: 12,
  });
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c", " "), maxLength: 10 });
  fc.assert(fc.property(vocabulary, text, (vocabulary, text) => {
    const tokens = ["<pad>", "</s>", "<unk>", ...vocabulary.map(([piece]) => piece.replaceAll(" ", "▁"))];
    const tokenizer = tokenizerOf(metadataOf({
      model: "t5",
      tokens: flat(tokens),
      scores: Float32Array.from([0, 0, 0, ...vocabulary.map(([, score]) => score)]),
      token_type: Int32Array.from(tokens, (_, i) => i === 2 ? 2 : i < 2 ? 3 : 1),
      add_space_prefix: false,
    }));
    const ids = tokenizer.encode(text, { addSpecial: false });
    const unknown = Math.min(...vocabulary.map(([, score]) => score)) - 10;
    // An unknown token stands for a run of characters: count them by what the known ones leave over.
    const known = ids.filter((id) => id !== 2).map((id) => vocabulary[id - 3]);
    const unknowns = text.length - known.reduce((sum, [piece]) => sum + piece.length, 0);
    const sum = known.reduce((sum, [, score]) => sum + score, 0) + unknowns * unknown;
    assertAlmostEquals(sum, bestSum(text, new Map(vocabulary), unknown));
    if (unknowns === 0) assertEquals(tokenizer.decode(ids), text);
  }));
});

Deno.test("unigram encode() collapses white space where the file says so, and ends with EOS", () => {
  const tokens = ["<pad>", "</s>", "<unk>", "▁", "a", "▁a"];
  const keys = {
    model: "t5",
    tokens: flat(tokens),
    scores: Float32Array.of(0, 0, 0, -2, -3, -1),
    token_type: Int32Array.of(3, 3, 2, 1, 1, 1),
  };
  const collapsing = tokenizerOf(metadataOf({ ...keys, remove_extra_whitespaces: true }));
  assertEquals(collapsing.encode("  a   a "), [5, 5, 1]);
  assertEquals(collapsing.encode("   "), [1]);
  const keeping = tokenizerOf(metadataOf(keys));
  assertEquals(keeping.encode(" a  a"), [3, 5, 3, 5, 1]);
});
