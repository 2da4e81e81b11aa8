import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { BUNDLED } from "../generate/bundled.ts";
import { fail, json, run, succeed, withFile } from "./run.ts";

const PROMPT = "She looked out of the window and";

Deno.test("generate --json has the promised shape", async () => {
  const report = await json("generate", ["--prompt", PROMPT, "--max-tokens", "12", "--ignore-eos"]);
  assertEquals(Object.keys(report), [
    "prompt_tokens",
    "tokens",
    "text",
    "finish_reason",
    "timings",
    "memory",
    "cache",
  ]);
  assertEquals(report.tokens.length, 12);
  assertEquals(report.finish_reason, "length");
  assertEquals(Object.keys(report.timings), [
    "load_ms",
    "prefill_ms",
    "prefill_tokens_per_second",
    "decode_ms",
    "decode_tokens_per_second",
  ]);
  for (const value of Object.values(report.timings)) assert(typeof value === "number" && value > 0);
  const { wasm_bytes, regions } = report.memory;
  assertEquals(Object.keys(regions[0]), ["name", "bytes"]);
  assertEquals(regions.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0), wasm_bytes);
  assertEquals(Object.keys(report.cache).slice(0, 11), [
    "policy",
    "params",
    "budget_rule",
    "victims",
    "positions",
    "storage",
    "storage_params",
    "read",
    "capacity",
    "slots",
    "peak_slots",
  ]);
  assertEquals(report.cache.policy, "full");
  assert(report.cache.slots <= report.cache.capacity);
});

Deno.test("generate streams the text that --json tells of", async () => {
  const args = [
    "--prompt",
    PROMPT,
    "--max-tokens",
    "20",
    "--temperature",
    "0.9",
    "--top-p",
    "0.9",
    "--seed",
    "4",
  ];
  const { text, prompt_tokens, tokens } = await json("generate", args);
  assertEquals(await succeed("generate", args), text + "\n");
  const [, , ...rest] = args;
  const ids = await json("generate", ["--prompt-tokens", prompt_tokens.join(), ...rest]);
  assertEquals(ids.tokens, tokens);
  await withFile(PROMPT, async (path) => {
    assertEquals((await json("generate", ["--prompt-file", path, ...rest])).tokens, tokens);
  });
});

Deno.test("generate works without any option but a length", async () => {
  const { tokens, finish_reason } = await json("generate", ["--max-tokens", "3"]);
  assert(tokens.length === 3 || finish_reason === "stop");
});

Deno.test("generate ends before a stop text", async () => {
  const args = ["--prompt", PROMPT, "--max-tokens", "30"];
  const { text } = await json("generate", args);
  const stops = ["--stop", "never said", "--stop", text.slice(10, 13)];
  const stopped = await json("generate", [...args, ...stops]);
  assertEquals(stopped.text, text.slice(0, text.indexOf(text.slice(10, 13))));
  assertEquals(stopped.finish_reason, "stop");
});

Deno.test("generate loads a model from a URL", async () => {
  const bytes = await Deno.readFile(BUNDLED);
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "") ?? [];
    if (from === undefined) return new Response(bytes);
    const part = bytes.subarray(Number(from), to === "" ? bytes.length : Number(to) + 1);
    const range = `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`;
    return new Response(part, { status: 206, headers: { "content-range": range } });
  });
  const args = ["--prompt", PROMPT, "--max-tokens", "5"];
  const { tokens } = await json("generate", [
    "--model",
    `http://127.0.0.1:${server.addr.port}/m.gguf`,
    ...args,
  ]);
  assertEquals(tokens, (await json("generate", args)).tokens);
  await server.shutdown();
});

Deno.test("generate takes a smaller context and another cache where asked", async () => {
  const small = await json("generate", ["--max-tokens", "2", "--context", "64", "--kv-type", "f32"]);
  const half = await json("generate", ["--max-tokens", "2", "--context", "64", "--kv-type", "f16"]);
  assertEquals(small.cache.capacity, 64);
  assert(small.cache.bytes > half.cache.bytes);
});

Deno.test("generate stops quietly when its reader has gone", async () => {
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      '"$0" run --allow-read src/cli/generate.ts --max-tokens 300 --ignore-eos | head -c 1',
      Deno.execPath(),
    ],
    cwd: new URL("../../", import.meta.url),
    stdout: "piped",
    stderr: "piped",
  });
  const { stderr } = await child.output();
  assertEquals(new TextDecoder().decode(stderr), "");
});

Deno.test("score is the loss over windows, each token but the first scored once", async () => {
  const text = "The rain had stopped before the morning came, and nobody spoke of it again. ".repeat(6);
  await withFile(text, async (path) => {
    const { tokens: ids } = await json("tokenize", ["--prompt", text]);
    const whole = await json("score", ["--text-file", path]);
    assertEquals(Object.keys(whole), ["tokens", "nll", "perplexity"]);
    assertAlmostEquals(whole.perplexity, Math.exp(whole.nll), 1e-9);
    const windows = await json("score", ["--text-file", path, "--context", "20"]);
    // A window loses its first token where there is no BOS to predict it from.
    const lost = Math.ceil(ids.length / 20);
    assert(windows.tokens === ids.length || windows.tokens === ids.length - lost, `${windows.tokens}`);
    assert(windows.nll > whole.nll, "a text that repeats is easier with all of it in view");
    assertStringIncludes(await succeed("score", ["--text-file", path]), `${whole.tokens} tokens`);
  });
});

Deno.test("logits is the full row, and its largest is what generate takes", async () => {
  const { prompt_tokens, tokens } = await json("generate", ["--prompt", PROMPT, "--max-tokens", "1"]);
  const { logits } = await json("logits", ["--prompt-tokens", prompt_tokens.join()]);
  const { metadata } = await json("inspect");
  assertEquals(logits.length, metadata["tokenizer.ggml.tokens"].length);
  assertEquals(logits.indexOf(Math.max(...logits)), tokens[0]);
  const table = await succeed("logits", ["--prompt", PROMPT]);
  assertEquals(table.trimEnd().split("\n").length, 10);
  assertEquals(Number(table.trim().split(/\s+/)[1]), tokens[0]);
});

Deno.test("demo tells a story, its speed and its memory", async () => {
  const { code, stdout } = await run("demo", ["--max-tokens", "20"]);
  assertEquals(code, 0);
  for (const wanted of [PROMPT, "tokens a second", "as planned", "weights", "kv"]) {
    assertStringIncludes(stdout, wanted);
  }
});

Deno.test("bad values are refused by name before a model is loaded", async () => {
  const nowhere = ["--model", "nowhere.gguf"];
  await fail(
    "generate",
    [...nowhere, "--max-tokens", "none"],
    /--max-tokens is "none", wanted an integer of at least 1/,
  );
  await fail(
    "generate",
    [...nowhere, "--temperature", "-1"],
    /--temperature is -1, wanted 0 … 100; see `deno task/,
  );
  await fail("generate", [...nowhere, "--top-p", "2"], /--top-p is 2/);
  await fail("generate", [...nowhere, "--seed", "1.5"], /--seed is "1.5"/);
  await fail(
    "generate",
    [...nowhere, "--max-bytes", "12 bananas"],
    /--max-bytes is "12 bananas", wanted a size/,
  );
  await fail("generate", [...nowhere, "--stop="], /--stop/);
  await fail(
    "generate",
    [...nowhere, "--prompt-tokens", "1,b"],
    /--prompt-tokens is "1,b", wanted token ids/,
  );
  await fail("generate", ["--prompt", "a", "--prompt-tokens", "1"], /no --prompt beside it/);
  await fail("score", [], /--text-file/);
});

Deno.test("generate --json-schema holds the reply to a file's schema, or refuses it by the place in it", async () => {
  const schema = { type: "object", properties: { year: { type: "integer", minimum: 1800, maximum: 1900 } } };
  const wanted = { ...schema, required: ["year"] };
  const hot = ["--prompt", PROMPT, "--temperature", "1", "--seed", "2"];
  await withFile(JSON.stringify(wanted), async (path) => {
    const { year } = JSON.parse(await succeed("generate", [...hot, "--json-schema", path]));
    assert(year >= 1800 && year <= 1900);
    const { text, finish_reason: reason } = await json("generate", [...hot, "--json-schema", path]);
    assertEquals([JSON.parse(text).year, reason], [year, "stop"]);
  });
  await withFile(
    "{",
    (path) => fail("generate", ["--json-schema", path], /--json-schema is .* a file of JSON/),
  );
  await withFile(
    '{"type": "string", "pattern": "x"}',
    (path) =>
      fail(
        "generate",
        ["--model", "nowhere.gguf", "--json-schema", path],
        /--json-schema\.pattern is "x", wanted/,
      ),
  );
  await fail("generate", ["--json-schema", "nowhere.json"], /nowhere\.json/);
});

Deno.test("what the model or the file does not allow is one line", async () => {
  await fail("generate", ["--model", "nowhere.gguf"], /nowhere.gguf: can't be opened.*check the path/);
  const gone = () => new Response("not here", { status: 404 });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, gone);
  await fail("generate", ["--model", `http://127.0.0.1:${server.addr.port}/m.gguf`], /404/);
  await server.shutdown();
  await fail("generate", ["--model", "deno.json"], /deno\.json|magic/i);
  await fail("generate", ["--max-bytes", "1MB"], /needs .* the budget is 1.00 MB; give a larger --max-bytes/);
  await fail("generate", ["--context", "99999999"], /--context is 99999999/);
  await fail("generate", ["--kv-type", "q3"], /--kv-type is "q3"/);
  await fail("generate", ["--prompt-tokens", "99999999"], /99999999, wanted token ids/);
  await fail("generate", ["--prompt", "word ".repeat(99), "--context", "32"], /wanted at most the 32/);
  await fail("score", ["--text-file", "nowhere.txt"], /nowhere\.txt/);
  await fail("logits", ["--prompt-tokens", "99999999"], /99999999/);
});

Deno.test("generate --prompts prints a line for each prompt, whatever the number of sequences", async () => {
  const prompts = ["The old house", "It was late", "She looked"];
  const options = ["--max-tokens", "8", "--temperature", "0.9", "--seed", "4"];
  await withFile(prompts.join("\r\n\n") + "\n", async (path) => {
    for (const sequences of ["1", "2"]) {
      const output = await succeed("generate", ["--prompts", path, "--sequences", sequences, ...options]);
      const replies = output.trimEnd().split("\n").map((line) => JSON.parse(line));
      assertEquals(replies.map(({ prompt }) => prompt), prompts);
      const { tokens, text, finish_reason } = await json("generate", ["--prompt", prompts[1], ...options]);
      assertEquals(replies[1], { prompt: prompts[1], text, tokens, finish_reason });
    }
    await fail("generate", ["--prompts", path, "--prompt", "x"], /--prompt is "x", wanted no --prompts/);
  });
  await fail("generate", ["--sequences", "2", "--prompt", "x"], /--sequences is "2", wanted --prompts/);
});
