/**
 * Ids as llama.cpp has them, under every pre-tokenizer and with special tokens in the text.
 */
import { assertEquals } from "@std/assert";
import { Metadata } from "../../src/gguf/mod.ts";
import golden from "../golden/tokenizer/llama_cpp.json" with { type: "json" };
import texts from "../golden/tokenizer/texts.json" with { type: "json" };
import { present, tokenizerOf, vocabMetadata } from "./support.ts";

/** Where llama.cpp leaves the model's own rules, and we don't. */
const differs = (name: string, text: string, parseSpecial: boolean): boolean =>
  // Its expressions don't tell upper from lower case beyond ASCII.
  (name === "youtu" && text.includes("iPhone12")) ||
  // It makes </s>, a user-defined token of this file, a control token.
  (name === "phi-3" && text.includes("</s>") && !parseSpecial);

for (const [name, wanted] of Object.entries(golden.pre)) {
  Deno.test({
    name: `encode() with pre-tokenizer ${name} gives llama.cpp's ids`,
    ignore: !present,
    async fn() {
      const gpt2 = await vocabMetadata("gpt-2");
      const entries = [...gpt2.keys()].map((key) => [key, { value: gpt2.get(key)!, offset: 0 }] as const);
      const metadata = new Metadata(
        new Map([...entries, ["tokenizer.ggml.pre", { value: name, offset: 0 }]]),
      );
      const tokenizer = tokenizerOf(metadata);
      texts.forEach((text, i) => {
        if (differs(name, text, false)) return;
        assertEquals(tokenizer.encode(text, { addSpecial: false }), wanted[i], JSON.stringify(text));
      });
    },
  });
}

for (const [name, wanted] of Object.entries(golden.vocabulary)) {
  Deno.test({
    name: `encode() of ${name} treats special tokens in the text as llama.cpp does`,
    ignore: !present,
    async fn() {
      const tokenizer = tokenizerOf(await vocabMetadata(name));
      [...texts, ...golden.special].forEach((text, i) => {
        for (const parseSpecial of [false, true]) {
          if (differs(name, text, parseSpecial)) continue;
          const ids = (parseSpecial ? wanted.special : wanted.plain)[i];
          assertEquals(
            tokenizer.encode(text, { addSpecial: false, parseSpecial }),
            ids,
            JSON.stringify(text),
          );
        }
      });
    },
  });
}
