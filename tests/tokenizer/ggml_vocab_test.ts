/**
 * The public test pairs of llama.cpp's vocabularies: every input gives exactly the listed ids.
 */
import { assertEquals } from "@std/assert";
import { present, sharedText, tokenizerOf, vocabMetadata } from "./support.ts";

for (const name of ["deepseek-coder", "gpt-2", "llama-spm", "phi-3", "starcoder"]) {
  Deno.test({
    name: `encode() gives the listed ids for every input of ${name}`,
    ignore: !present,
    async fn() {
      const tokenizer = tokenizerOf(await vocabMetadata(name));
      const path = `tokenizers/ggml-vocab/ggml-vocab-${name}.gguf`;
      const inputs = (await sharedText(`${path}.inp`)).split("\n__ggml_vocab_test__\n");
      const outputs = (await sharedText(`${path}.out`)).replace(/\n$/, "").split("\n");
      if (inputs.at(-1) === "") inputs.pop();
      assertEquals(inputs.length, outputs.length);
      inputs.forEach((input, i) => {
        const wanted = outputs[i].trim() === "" ? [] : outputs[i].trim().split(/\s+/).map(Number);
        assertEquals(tokenizer.encode(input, { addSpecial: false }), wanted, JSON.stringify(input));
      });
    },
  });
}
