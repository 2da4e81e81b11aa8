import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { UnsupportedModelError } from "../../src/error.ts";
import { preTokenizer, preTokenizerNames } from "../../src/tokenizer/pre_tokenizers.ts";
import { WordSplitter } from "../../src/tokenizer/word_splitter.ts";
import golden from "../golden/tokenizer/pre_tokenizers.json" with { type: "json" };
import texts from "../golden/tokenizer/texts.json" with { type: "json" };

for (const [name, pieces] of Object.entries(golden.pieces)) {
  Deno.test(`pre-tokenizer ${name} cuts as the expressions of its tokenizer.json do in ${golden.made.with}`, () => {
    const splitter = new WordSplitter(preTokenizer(name));
    [...texts, ...golden.random].forEach((text, i) => {
      assertEquals(splitter.split(text).map((piece) => [...piece].length), pieces[i], JSON.stringify(text));
    });
  });
}

Deno.test("pre-tokenizers cut digits and spaces by hand-checked examples", () => {
  const cut = (name: string, text: string) => new WordSplitter(preTokenizer(name)).split(text);
  assertEquals(cut("gpt-2", "I'm  12345!"), ["I", "'m", " ", " 12345", "!"]);
  assertEquals(cut("smollm", "a 12"), ["a", " ", "1", "2"]);
  assertEquals(cut("llama-bpe", "a 12345"), ["a", " ", "123", "45"]);
  assertEquals(cut("qwen2", "a.b\n\n c"), ["a", ".b", "\n\n", " c"]);
  assertEquals(cut("deepseek-llm", "a b\n1 "), ["a", " b", "\n", "1", " "]);
  assertEquals(cut("deepseek-coder", "x=1\n"), ["x", "=", "1", "\n"]);
  assertEquals(cut("falcon", "a, 1234"), ["a", ",", " ", "123", "4"]);
  assertEquals(cut("gpt-4o", "HelloWorld"), ["Hello", "World"]);
  assertEquals(cut("bloom", "a (b). c"), ["a", " (", "b", ").", " c"]);
  assertEquals(cut("gemma4", "a b\n\n c"), ["a b", "\n\n", " c"]);
});

Deno.test("the words of every pre-tokenizer are the text again, whatever the text", () => {
  for (const name of preTokenizerNames()) {
    const splitter = new WordSplitter(preTokenizer(name));
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const words = splitter.split(text);
        assertEquals(words.join(""), text);
        assert(words.every((word) => word.length > 0));
      }),
      { numRuns: 50 },
    );
  }
});

Deno.test("every pre-tokenizer cuts 100 kB of one kind of character in well under a second", () => {
  // Many names share their expressions.
  const distinct = new Map(preTokenizerNames().map((name) => [preTokenizer(name).cuts.join("\n"), name]));
  for (const name of distinct.values()) {
    const splitter = new WordSplitter(preTokenizer(name));
    for (const unit of ["a", "A", "1", " ", "\n", " \n", ".", "'", "あ", "\u0301", "aB", " a", "\t "]) {
      const text = unit.repeat(1e5 / unit.length) + "x";
      const start = performance.now();
      splitter.forEach(text, () => {});
      const ms = performance.now() - start;
      assert(ms < 1000, `${name} took ${ms.toFixed(0)} ms for ${JSON.stringify(unit)}`);
    }
  }
});

Deno.test("preTokenizer() refuses an unknown name and lists those it knows", () => {
  const error = assertThrows(() => preTokenizer("toString"), UnsupportedModelError, "qwen2");
  assertEquals(error.found, "toString");
});
