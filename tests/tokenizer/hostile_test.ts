/**
 * Vocabularies that contradict themselves: a typed error that names the key, never a wrong table or a hang.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { GgufError, OptionError, UnsupportedModelError } from "../../src/error.ts";
import type { GgufValue } from "../../src/gguf/mod.ts";
import { createTokenizer, planVocabulary } from "../../src/tokenizer/mod.ts";
import { flat, metadataOf, tokenizerOf } from "./support.ts";

type Keys = Record<string, GgufValue | undefined>;

const bpe: Keys = { model: "gpt2", pre: "gpt-2", tokens: flat(["a", "b", "ab"]), merges: flat(["a b"]) };
const spm: Keys = {
  model: "llama",
  tokens: flat(["<unk>", "<s>", "</s>", "a"]),
  scores: new Float32Array(4),
  token_type: Int32Array.of(2, 3, 3, 1),
};
const unigram: Keys = { ...spm, model: "t5" };

/** A map of one unit, so of no replacements, is the smallest sound one. */
const charsmap = (...bytes: number[]) => Uint8Array.from(bytes);

const faults: [what: string, keys: Keys, field: string][] = [
  ["no model", { ...bpe, model: undefined }, "model"],
  ["a model that is no string", { ...bpe, model: 7 }, "model"],
  ["no tokens", { ...bpe, tokens: undefined }, "tokens"],
  ["tokens that are numbers", { ...bpe, tokens: new Uint8Array(3) }, "tokens"],
  ["an empty vocabulary", { ...bpe, tokens: flat([]) }, "tokens"],
  ["no merges", { ...bpe, merges: undefined }, "merges"],
  ["fewer types than tokens", { ...bpe, token_type: new Int32Array(2) }, "token_type"],
  ["a type beyond the known", { ...bpe, token_type: Int32Array.of(1, 1, 9) }, "token_type"],
  ["a negative type", { ...bpe, token_type: Int32Array.of(1, -1, 1) }, "token_type"],
  [
    "a special token of 70,000 bytes",
    { ...spm, tokens: flat(["<unk>", "x".repeat(70_000), "", "a"]) },
    "tokens",
  ],
  ["a piece of 70,000 bytes", { ...unigram, tokens: flat(["<unk>", "", "", "x".repeat(70_000)]) }, "tokens"],
  ["no scores", { ...spm, scores: undefined }, "scores"],
  ["fewer scores than tokens", { ...spm, scores: new Float32Array(3) }, "scores"],
  ["more scores than tokens", { ...unigram, scores: new Float32Array(5) }, "scores"],
  ["a score that is no number", { ...unigram, scores: Float32Array.of(0, 0, 0, NaN) }, "scores"],
  ["an infinite score", { ...unigram, scores: Float32Array.of(0, 0, 0, -Infinity) }, "scores"],
  ["a byte token without byte", { ...spm, token_type: Int32Array.of(2, 3, 3, 6) }, "tokens"],
  ["a merge of one part", { ...bpe, merges: flat(["ab"]) }, "merges"],
  ["an empty merge", { ...bpe, merges: flat(["", "a b"]) }, "merges"],
  ["a merge with nothing on the right", { ...bpe, merges: flat(["a ", "b"]) }, "merges"],
  ["a merge with an unknown left part", { ...bpe, merges: flat(["c b"]) }, "merges"],
  ["a merge with an unknown right part", { ...bpe, merges: flat(["a c"]) }, "merges"],
  ["a merge with an unknown result", { ...bpe, merges: flat(["b a"]) }, "merges"],
  ["a BOS id beyond the vocabulary", { ...bpe, bos_token_id: 3 }, "bos_token_id"],
  ["a fractional EOS id", { ...bpe, eos_token_id: 0.5 }, "eos_token_id"],
  ["a negative unknown id", { ...spm, unknown_token_id: -1 }, "unknown_token_id"],
  ["an end-of-turn id beyond the vocabulary", { ...bpe, eot_token_id: 4_294_967_295 }, "eot_token_id"],
  ["EOS asked for and not there", { ...bpe, add_eos_token: true }, "add_eos_token"],
  ["a flag that is no flag", { ...bpe, add_bos_token: 1 }, "add_bos_token"],
  [
    "a character map of two bytes",
    { ...unigram, precompiled_charsmap: charsmap(1, 2) },
    "precompiled_charsmap",
  ],
  [
    "a character map whose array is longer than it",
    { ...unigram, precompiled_charsmap: charsmap(255, 255, 255, 255, 0, 0, 0, 0, 0) },
    "precompiled_charsmap",
  ],
];

for (const [what, keys, field] of faults) {
  Deno.test(`a vocabulary with ${what} is refused`, () => {
    const metadata = metadataOf(keys);
    const error = assertThrows(() => tokenizerOf(metadata), GgufError);
    assertEquals(error.field, `tokenizer.ggml.${field}`);
    assertEquals(error.offset, metadata.offset(error.field));
  });
}

Deno.test("kinds of tokenizers and pre-tokenizers that are not known are refused by name", () => {
  for (const model of ["bert", "rwkv", "constructor"]) {
    const error = assertThrows(() => tokenizerOf(metadataOf({ ...bpe, model })), UnsupportedModelError);
    assertEquals([error.what, error.found, error.supported], ["tokenizer model", model, [
      "gpt2",
      "gemma4",
      "llama",
      "t5",
    ]]);
  }
  const error = assertThrows(
    () => tokenizerOf(metadataOf({ ...bpe, pre: "nonesuch" })),
    UnsupportedModelError,
  );
  assert(error.supported.includes("qwen2"));
  assertEquals(tokenizerOf(metadataOf({ ...bpe, pre: undefined })).encode("ab"), [2]);
});

Deno.test("a character map that points outside itself is refused when a text reaches that place", () => {
  // One unit whose children would be at 4: outside the array.
  const map = charsmap(4, 0, 0, 0, 0, 0x10, 0, 0, 0);
  const tokenizer = tokenizerOf(metadataOf({ ...unigram, precompiled_charsmap: map }));
  const error = assertThrows(() => tokenizer.encode("a"), GgufError);
  assertEquals(error.field, "tokenizer.ggml.precompiled_charsmap");
});

Deno.test("any vocabulary at all is either refused with a typed error or encodes and decodes", () => {
  const piece = fc.string({
    unit: fc.constantFrom("a", "b", "▁", "Ġ", "<0x41>", "é", " ", "\0", "<s>"),
    maxLength: 4,
  });
  const model = fc.constantFrom("gpt2", "llama", "t5", "gemma4");
  const vocabulary = fc.array(piece, { maxLength: 12 }).chain((tokens) =>
    fc.record({
      model,
      tokens: fc.constant(flat(tokens)),
      scores: fc.array(fc.float({ noNaN: true }), { minLength: tokens.length, maxLength: tokens.length })
        .map((scores) => Float32Array.from(scores)),
      token_type: fc.array(fc.integer({ min: 0, max: 6 }), {
        minLength: tokens.length,
        maxLength: tokens.length,
      })
        .map((types) => Int32Array.from(types)),
      merges: fc.array(fc.tuple(piece, piece).map((pair) => pair.join(" ")), { maxLength: 3 }).map(flat),
      bos_token_id: fc.integer({ min: 0, max: 12 }),
      add_space_prefix: fc.boolean(),
      remove_extra_whitespaces: fc.boolean(),
    })
  );
  fc.assert(
    fc.property(vocabulary, fc.string({ unit: "binary" }), fc.boolean(), (keys, text, parseSpecial) => {
      const metadata = metadataOf(keys);
      let tokenizer;
      try {
        tokenizer = createTokenizer(metadata, new Uint8Array(planVocabulary(metadata).bytes));
      } catch (error) {
        assert(error instanceof GgufError || error instanceof OptionError, String(error));
        return;
      }
      for (const input of [text, "ab  <s>a é▁"]) {
        const ids = tokenizer.encode(input, { parseSpecial });
        assert(ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.nVocab));
        tokenizer.decode(ids, { special: true });
      }
    }),
    { numRuns: 2000 },
  );
});
