import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { byteAlphabet, flat, metadataOf, tokenizerOf } from "./support.ts";

/** Every byte is a token, so ids are bytes and every sequence of bytes can occur. Id 256 is a control token. */
const tokenizer = tokenizerOf(metadataOf({
  model: "gpt2",
  tokens: flat([...byteAlphabet, "<c>"]),
  merges: flat([]),
  token_type: Int32Array.from({ length: 257 }, (_, id) => id === 256 ? 3 : 1),
}));

Deno.test("stream() holds a character back until it is whole", () => {
  const stream = tokenizer.stream();
  const pushed = [...new TextEncoder().encode("aé🦙")].map((byte) => stream.push(byte));
  assertEquals(pushed, ["a", "", "é", "", "", "", "🦙"]);
  assertEquals(stream.flush(), "");
});

Deno.test("stream() emits U+FFFD as soon as a character can't go on, and for an unfinished one at the end", () => {
  const stream = tokenizer.stream();
  assertEquals(stream.push(0xf0), "");
  assertEquals(stream.push(0x9f), "");
  assertEquals(stream.push(0x41), "\ufffdA");
  assertEquals(stream.push(0xff), "\ufffd");
  assertEquals(stream.push(0xe2), "");
  assertEquals(stream.flush(), "\ufffd");
  assertEquals(stream.push(0x42), "B");
});

Deno.test("stream() keeps a byte order mark and leaves control tokens out", () => {
  const ids = [0xef, 0xbb, 256, 0xbf, 0x41];
  assertEquals(ids.map((id) => tokenizer.stream().push(id)).at(-1), "A");
  const stream = tokenizer.stream();
  assertEquals(ids.map((id) => stream.push(id)).join(""), "\ufeffA");
  const shown = tokenizer.stream({ special: true });
  assertEquals([0x41, 256].map((id) => shown.push(id)), ["A", "<c>"]);
});

Deno.test("what stream() pushes, put together, is decode(), and never ends in half a character", () => {
  const bytes = fc.oneof(
    fc.array(fc.integer({ min: 0, max: 256 }), { maxLength: 40 }),
    fc.string({ unit: "binary" }).map((text) => [...new TextEncoder().encode(text)]),
  );
  fc.assert(fc.property(bytes, fc.boolean(), (ids, special) => {
    const stream = tokenizer.stream({ special });
    const parts = [...ids.map((id) => stream.push(id)), stream.flush()];
    assertEquals(parts.join(""), tokenizer.decode(ids, { special }));
    assert(parts.every((part) => part.isWellFormed()));
  }));
});
