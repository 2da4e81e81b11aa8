import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { GgufError, OptionError } from "../../src/error.ts";
import type { GgufValue } from "../../src/gguf/mod.ts";
import { createTokenizer, planVocabulary } from "../../src/tokenizer/mod.ts";
import { byteAlphabet, flat, metadataOf, present, tokenizerOf, vocabMetadata } from "./support.ts";

/** Byte-level BPE with all bytes as ids 0 to 255, then the given merges' tokens, then special tokens. */
function byteLevel(
  merges: string[],
  special: [text: string, type: number][] = [],
  keys: Record<string, GgufValue> = {},
) {
  const tokens = [
    ...byteAlphabet,
    ...merges.map((m) => m.replace(" ", "")),
    ...special.map(([text]) => text),
  ];
  const types = Int32Array.from(tokens, (_, i) => special[i - 256 - merges.length]?.[1] ?? 1);
  return metadataOf({
    model: "gpt2",
    tokens: flat(tokens),
    merges: flat(merges),
    token_type: types,
    ...keys,
  });
}

/** SentencePiece BPE: unknown, BOS, EOS, then byte tokens if asked for, then the given pieces by falling score. */
function pieces(pieces: string[], { bytes = true, ...keys }: Record<string, GgufValue> = {}) {
  const byteTokens = bytes
    ? Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)
    : [];
  const tokens = ["<unk>", "<s>", "</s>", ...byteTokens, ...pieces];
  return metadataOf({
    model: "llama",
    tokens: flat(tokens),
    scores: Float32Array.from(tokens, (_, i) => i < 3 + byteTokens.length ? 0 : -i),
    token_type: Int32Array.from(
      tokens,
      (_, i) => i === 0 ? 2 : i < 3 ? 3 : i < 3 + byteTokens.length ? 6 : 1,
    ),
    ...keys,
  });
}

Deno.test("planVocabulary() is exact: the region is filled to its last byte and not beyond", () => {
  for (
    const metadata of [byteLevel(["a b", "ab c"]), pieces(["▁", "a", "▁a"]), pieces(["x"], { bytes: false })]
  ) {
    const { bytes } = planVocabulary(metadata);
    const memory = new Uint8Array(bytes + 32).fill(0xaa);
    createTokenizer(metadata, memory.subarray(16, 16 + bytes)).encode("abc <s> \u0000é", {
      parseSpecial: true,
    });
    assert(memory.subarray(0, 16).every((byte) => byte === 0xaa));
    assert(memory.subarray(16 + bytes).every((byte) => byte === 0xaa));
    assert(memory[16 + bytes - 1] !== 0xaa);
    const short = assertThrows(() => createTokenizer(metadata, new Uint8Array(bytes - 1)), OptionError);
    assertEquals(short.option, "region.length");
    assertThrows(
      () => createTokenizer(metadata, memory.subarray(1, 1 + bytes)),
      OptionError,
      "multiple of 4",
    );
  }
});

Deno.test("byte-level BPE merges by rank inside words", () => {
  const tokenizer = tokenizerOf(byteLevel(["a b", "b c", "c ab", "Ġ ab"], [], { pre: "gpt-2" }));
  const [ab, bc, cab, spaceAb] = [256, 257, 258, 259];
  const code = (c: string) => c.charCodeAt(0);
  assertEquals(tokenizer.encode("abc"), [ab, code("c")]);
  assertEquals(tokenizer.encode("cabbc"), [cab, bc]);
  assertEquals(tokenizer.encode("ab ab  ab"), [ab, spaceAb, code(" "), spaceAb]);
  // the second time through the memo of whole words
  assertEquals(tokenizer.encode("ab ab  ab"), [ab, spaceAb, code(" "), spaceAb]);
});

Deno.test("byte-level BPE takes a word whole only where its pre-tokenizer says so", () => {
  const merges = ["a b", "ab c"];
  const extra: [string, number][] = [["bcd", 1]];
  const wanted = [..."bcd"].map((c) => c.charCodeAt(0));
  for (let again = 0; again < 2; again++) {
    assertEquals(tokenizerOf(byteLevel(merges, extra, { pre: "qwen2" })).encode("bcd"), wanted);
    assertEquals(tokenizerOf(byteLevel(merges, extra, { pre: "llama-bpe" })).encode("bcd"), [258]);
  }
});

Deno.test("a byte without token becomes the unknown token, or nothing where there is none", () => {
  const keys = { model: "gpt2", pre: "gpt-2", tokens: flat(["<unk>", "a", "b"]), merges: flat([]) };
  assertEquals(tokenizerOf(metadataOf({ ...keys, unknown_token_id: 0 })).encode("axyb"), [1, 0, 2]);
  assertEquals(tokenizerOf(metadataOf(keys)).encode("axyb"), [1, 2]);
});

Deno.test("decode(encode(text)) is the text for byte-level BPE, whatever the text", () => {
  const metadata = byteLevel(["t h", "th e", "Ġ the", "Ã ©", "ð Ł", "Ġ Ġ"], [["<|x|>", 3], ["<u>", 4]], {});
  const tokenizer = tokenizerOf(metadata);
  const texts = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("the ", " ", "é", "🦙", "<u>") }),
  );
  fc.assert(fc.property(texts, (text) => assertEquals(tokenizer.decode(tokenizer.encode(text)), text)));
});

Deno.test("SentencePiece BPE merges by score, falls back to bytes and frames with BOS", () => {
  const list = ["▁", "a", "b", "▁a", "ab", "é"];
  const tokenizer = tokenizerOf(pieces(list));
  const id = (piece: string) => 3 + 256 + list.indexOf(piece);
  assertEquals(tokenizer.encode("ab"), [1, id("▁a"), id("b")]);
  assertEquals(tokenizer.encode(""), [1]);
  assertEquals(tokenizer.encode("ab é", { addSpecial: false }), [id("▁a"), id("b"), id("▁"), id("é")]);
  assertEquals(tokenizer.encode("ñ", { addSpecial: false }), [id("▁"), 3 + 0xc3, 3 + 0xb1]);
  assertEquals(tokenizer.decode(tokenizer.encode("ab  éñ a")), "ab  éñ a");
  assertEquals(tokenizer.decode([id("▁a"), id("b")]), " ab");
  const plain = tokenizerOf(pieces(list, { add_space_prefix: false }));
  assertEquals(plain.encode("ab"), [1, id("ab")]);
  assertEquals(plain.decode([1, id("▁a")]), " a");
});

Deno.test("SentencePiece merges a whole text where a piece holds an inner space", () => {
  const list = ["▁", "a", "b", "a▁", "a▁b"];
  const tokenizer = tokenizerOf(pieces(list, { add_space_prefix: false }));
  assertEquals(tokenizer.encode("a b", { addSpecial: false }), [3 + 256 + 4]);
});

Deno.test("SentencePiece without byte tokens has one unknown token for a run of unknown characters", () => {
  const tokenizer = tokenizerOf(pieces(["▁", "a"], { bytes: false, add_space_prefix: false }));
  assertEquals(tokenizer.encode("aéñ éa", { addSpecial: false }), [4, 0, 3, 0, 4]);
  assertEquals(tokenizer.decode([4, 0, 4]), "aa");
});

Deno.test("gemma4 merges raw characters over whole lines, with runs of line breaks whole", () => {
  const tokens = ["<pad>", "<eos>", "<bos>", "▁", "a", "b", "▁a", "▁ab", "\n", "\n\n", "<0xC3>", "<0xA9>"];
  const tokenizer = tokenizerOf(metadataOf({
    model: "gemma4",
    tokens: flat(tokens),
    token_type: Int32Array.from(tokens, (_, i) => i < 3 ? 3 : i > 9 ? 6 : 1),
    merges: flat(["▁ a", "▁a b"]),
    bos_token_id: 2,
    eos_token_id: 1,
    add_bos_token: true,
  }));
  assertEquals(tokenizer.encode("ab ab\n\nbé"), [2, 4, 5, 7, 9, 5, 10, 11]);
  assertEquals(tokenizer.decode([4, 5, 7, 9, 5, 10, 11]), "ab ab\n\nbé");
});

Deno.test("control tokens in the text need parseSpecial, user-defined ones don't", () => {
  const tokenizer = tokenizerOf(
    byteLevel([], [["<|a|>", 3], ["<b>", 4], ["<b><c>", 4], ["é", 4]], { pre: "gpt-2" }),
  );
  const bytes = (text: string) => [...new TextEncoder().encode(text)];
  assertEquals(tokenizer.encode("x<b>y<|a|>"), [...bytes("x"), 257, ...bytes("y<|a|>")]);
  assertEquals(tokenizer.encode("<|a|><b>", { parseSpecial: true }), [256, 257]);
  assertEquals(tokenizer.encode("<b><c><b><"), [258, 257, ...bytes("<")]);
  assertEquals(tokenizer.encode("é<|"), [259, ...bytes("<|")]);
  assertEquals(tokenizer.decode([256, 257, 259]), "<b>é");
  assertEquals(tokenizer.decode([256, 257, 259], { special: true }), "<|a|><b>é");
  assert(tokenizer.isControl(256) && !tokenizer.isControl(257));
});

Deno.test("merging plain text never makes a control token", () => {
  const merges = ["< s", "<s >"];
  const tokens = [...byteAlphabet, "<s", "<s>"];
  const types = Int32Array.from(tokens, (_, i) => i === 257 ? 3 : 1);
  const keys = { tokens: flat(tokens), merges: flat(merges), token_type: types };
  for (const pre of ["gpt-2", "llama-bpe"]) {
    const tokenizer = tokenizerOf(metadataOf({ model: "gpt2", pre, ...keys }));
    assertEquals(tokenizer.encode("<s>").includes(257), false);
    assertEquals(tokenizer.encode("<s>", { parseSpecial: true }), [257]);
  }
});

Deno.test("BOS and EOS follow the file, then the kind of tokenizer", () => {
  const gpt = tokenizerOf(byteLevel([]));
  assertEquals([gpt.bosId, gpt.eosId, gpt.addBos, gpt.addEos], [undefined, undefined, false, false]);
  const framed = tokenizerOf(byteLevel([], [["<s>", 3], ["</s>", 3]], {
    bos_token_id: 256,
    eos_token_id: 257,
    add_bos_token: true,
    add_eos_token: true,
  }));
  assertEquals(framed.encode("a"), [256, 97, 257]);
  assertEquals(framed.encode("a", { addSpecial: false }), [97]);
  const llama3 = tokenizerOf(byteLevel([], [["<s>", 3]], { pre: "llama-bpe", bos_token_id: 256 }));
  assertEquals(llama3.encode("a"), [256, 97]);
  const spm = tokenizerOf(pieces(["▁"]));
  assertEquals([spm.bosId, spm.eosId, spm.addBos, spm.addEos], [1, 2, true, false]);
  assertEquals(tokenizerOf(pieces(["▁"], { add_bos_token: false })).encode(""), []);
  const error = assertThrows(() => tokenizerOf(byteLevel([], [], { add_bos_token: true })), GgufError);
  assertEquals(error.field, "tokenizer.ggml.add_bos_token");
});

Deno.test("eogIds has EOS, the end of turn and of message by id, and those known by their text", () => {
  const special: [string, number][] = [["</s>", 3], ["<|im_end|>", 1], ["<end>", 3], ["<|eom_id|>", 3], [
    "<z>",
    3,
  ]];
  const tokenizer = tokenizerOf(byteLevel([], special, { eos_token_id: 256, eot_token_id: 258 }));
  assertEquals([...tokenizer.eogIds].sort(), [256, 257, 258, 259]);
  // the file calls it normal, but it is what ends a turn
  assert(tokenizer.isControl(257));
  const harmony: [string, number][] = [["<|end|>", 3], ["<|return|>", 3], ["<|call|>", 3]];
  assertEquals([...tokenizerOf(byteLevel([], harmony, { eos_token_id: 257 })).eogIds].sort(), [257, 258]);
});

Deno.test("tokenBytes() and decode() refuse ids outside the vocabulary", () => {
  const tokenizer = tokenizerOf(byteLevel([]));
  assertEquals(tokenizer.tokenBytes(32), new Uint8Array([32]));
  for (const id of [-1, 256, 1.5, NaN]) {
    assertThrows(() => tokenizer.tokenBytes(id), OptionError);
    assertThrows(() => tokenizer.decode([id]), OptionError);
    assertThrows(() => tokenizer.stream().push(id), OptionError);
  }
});

for (const name of ["gpt-2", "deepseek-coder", "llama-spm"]) {
  Deno.test({
    name: `encode() of ${name} takes 100 kB of any one character in less than a second`,
    ignore: !present,
    async fn() {
      const tokenizer = tokenizerOf(await vocabMetadata(name));
      for (const unit of ["a", "あ", " ", "0", "<", "\n", "\u0301", "aB", "ab c", "\ud800"]) {
        const text = unit.repeat(1e5 / unit.length);
        const start = performance.now();
        const ids = tokenizer.encode(text, { parseSpecial: true });
        const ms = performance.now() - start;
        assert(ms < 1000, `${ms.toFixed(0)} ms for ${JSON.stringify(unit)}`);
        assertEquals(tokenizer.decode(ids), text.replaceAll("\ud800", "\ufffd"));
      }
    },
  });
}
