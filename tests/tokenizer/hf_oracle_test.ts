/**
 * GPT-2's own vocabulary files against `@huggingface/tokenizers`, over real texts and random ones.
 */
import { assertEquals } from "@std/assert";
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { flat, metadataOf, present, sharedText, tokenizerOf } from "./support.ts";

/** Both tokenizers of the shared vocab.json and merges.txt. */
async function both() {
  const vocab: Record<string, number> = JSON.parse(await sharedText("tokenizers/gpt2/vocab.json"));
  const merges = (await sharedText("tokenizers/gpt2/merges.txt")).split("\n").slice(1).filter((line) =>
    line !== ""
  );
  const tokens = Object.entries(vocab).sort(([, a], [, b]) => a - b).map(([token]) => token);
  const ours = tokenizerOf(metadataOf({
    model: "gpt2",
    pre: "gpt-2",
    tokens: flat(tokens),
    merges: flat(merges),
    eos_token_id: vocab["<|endoftext|>"],
  }));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const theirs = new HfTokenizer({
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", vocab, merges, dropout: null, unk_token: null, fuse_unk: false },
    // deno-lint-ignore no-explicit-any
  } as any, {});
  return { ours, theirs };
}

/** JavaScript's \s, which their expression uses, differs from Unicode's White_Space in these two. */
const agreed = (text: string) => text.replace(/[\u0085\ufeff]/g, "");

Deno.test({
  name: "encode() gives the ids of @huggingface/tokenizers on books, encyclopedia and code",
  ignore: !present,
  async fn() {
    const { ours, theirs } = await both();
    for (
      const path of ["books-valid.txt.gz", "wikitext-2-valid.txt", "../code/python-stdlib-sample.txt.gz"]
    ) {
      const text = agreed(await sharedText(`text/${path}`));
      for (const at of [0, 300_000]) {
        const sample = text.slice(at, at + 60_000);
        assertEquals(ours.encode(sample), theirs.encode(sample).ids, path);
      }
    }
  },
});

Deno.test({
  name: "encode() gives the ids of @huggingface/tokenizers on any text",
  ignore: !present,
  async fn() {
    const { ours, theirs } = await both();
    const mixed = fc.array(
      fc.constantFrom("a", "Z", "'s", " ", "  ", "\n", "1", "é", "日", "🦙", "!", "\u0301", "the "),
    );
    const texts = fc.oneof(fc.string({ unit: "grapheme" }), mixed.map((units) => units.join("")));
    fc.assert(
      fc.property(texts.map(agreed), (text) => {
        assertEquals(ours.encode(text), theirs.encode(text).ids);
        assertEquals(ours.decode(ours.encode(text)), text);
      }),
      { numRuns: 500 },
    );
  },
});
