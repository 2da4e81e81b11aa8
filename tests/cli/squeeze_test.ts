import { assertEquals, assertMatch } from "@std/assert";
import { LONG_TEXT } from "../generate/bundled.ts";
import { fail, json, succeed, withFile } from "./run.ts";

Deno.test("squeeze saves a prefix that generate goes on from, where everything is set alike", async () => {
  const settings = ["--context", "1024", "--read", "squeezed:window=32,share=0.1,rho=0.5"];
  await withFile(LONG_TEXT, async (text) => {
    const saved = `${text}.kv`;
    const said = await succeed("squeeze", ["--prefix-file", text, "--out", saved, ...settings]);
    assertMatch(said, /^\d+ tokens in .* s, cache and index of .*; go on with\ndeno task generate --from /);
    const prompt = ["--prompt", "And then", "--max-tokens", "8", "--ignore-eos", "--from", saved];
    assertEquals((await json("generate", [...settings, ...prompt])).tokens.length, 8);
    await fail("generate", [...prompt, "--context", "1024"], /reader is squeezed, wanted dense/);
    await Deno.remove(saved);
  });
});

Deno.test("squeeze and --from say what is missing", async () => {
  await fail("squeeze", ["--out", "x.kv"], /--prefix-file/);
  await fail("squeeze", ["--prefix-file", "README.md"], /--out/);
  await fail("generate", ["--prompt", "x", "--from", "no-such-file.kv"], /--from is "no-such-file.kv"/);
});
