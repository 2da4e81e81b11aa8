import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withChatTemplate } from "./templated.ts";
import { serveModel } from "../tools/model_server.ts";
import { run as output } from "../tools/tools.ts";
import { fail, json, run, succeed, withFile } from "./run.ts";

const COMMANDS = [
  "demo",
  "generate",
  "chat",
  "score",
  "logits",
  "tokenize",
  "inspect",
  "plan",
  "platforms",
  "policies",
  "inspect-cache",
  "serve",
  "shard",
  "squeeze",
  "calibrate",
];
const MODEL = "models/locket-books-q8_0.gguf";

for (const name of COMMANDS) {
  Deno.test(`${name} --help shows its options and an example`, async () => {
    const help = await succeed(name, ["--help"]);
    assertMatch(help, new RegExp(`^[^]+\\n\\nUsage: deno task ${name} `));
    assertStringIncludes(help, "--help");
    assertStringIncludes(help, `Example: deno task ${name}`);
    assert(help.split("\n").every((line) => line.length <= 120));
  });

  Deno.test(`${name} refuses what it does not know`, async () => {
    await fail(name, ["--no-such-option"], /--no-such-option.*see `deno task/);
    await fail(name, ["-x"], /-x/);
    await fail(name, ["one", "two"], /"(one|two)"/);
    await fail(name, ["--context"], /--context/);
  });
}

Deno.test("tokenize shows ids that make the text again", async () => {
  const { tokens, texts } = await json("tokenize", ["--prompt", "The house, again"]);
  assertEquals(texts.join(""), "The house, again");
  const lines = (await succeed("tokenize", ["--prompt", "The house, again"])).trimEnd().split("\n");
  assertEquals(lines.map((line) => parseInt(line)), tokens);
});

Deno.test("inspect shows metadata and tensors of the bundled and of a given model", async () => {
  const text = await succeed("inspect", [MODEL]);
  assertEquals(await succeed("inspect"), text);
  for (const wanted of ["general.architecture", "token_embd.weight", "Q8_0"]) {
    assertStringIncludes(text, wanted);
  }
  const { metadata, tensors, file_bytes } = await json("inspect", [MODEL]);
  assertEquals(metadata["general.architecture"], "llama");
  assertEquals(file_bytes, (await Deno.stat(new URL(`../../${MODEL}`, import.meta.url))).size);
  assert(tensors.some(({ name }: { name: string }) => name === "token_embd.weight"));
});

Deno.test("plan tells what a model takes, and what context fits", async () => {
  const { regions, total_bytes, fits } = await json("plan", [MODEL, "--context", "512"]);
  assert(fits);
  assertEquals(regions.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0), total_bytes);
  const loaded = await json("generate", ["--context", "512", "--max-tokens", "1"]);
  assertEquals(loaded.memory, { wasm_bytes: total_bytes, regions });
  const { largest_context } = await json(
    "plan",
    [MODEL, "--max-bytes", String(total_bytes)]
      .concat("--context", "512"),
  );
  assert(largest_context >= 512);
  const args = ["--max-bytes", String(total_bytes), "--context"];
  await succeed("plan", [MODEL, ...args, String(largest_context)]);
  const { code, stdout, stderr } = await run("plan", [MODEL, ...args, String(largest_context + 1)]);
  assertEquals(code, 1);
  assertStringIncludes(stdout, "weights");
  assertMatch(stderr, /^error: the memory plan needs [^\n]+\n$/);
});

Deno.test("chat needs a chat template and says so", async () => {
  await fail("chat", [], /chat template.*deno task generate/);
});

Deno.test("chat answers each line by the model's template, and remembers", async () => {
  await withFile(await withChatTemplate(), async (path) => {
    const options = ["--model", path, "--temperature", "0", "--max-tokens", "8", "--ignore-eos"];
    const first = (await succeed("chat", options, "Good morning\n")).slice(0, -1);
    const both = await succeed("chat", options, "Good morning\n\nWho is there?\n");
    const prompt = `user: Good morning\nassistant: ${first}\nuser: Who is there?\nassistant:`;
    const whole = await json("generate", ["--prompt", prompt, "--max-tokens", "8", "--ignore-eos"]);
    assertEquals(both, `${first}\n${whole.text}\n`);
    const reset = await succeed("chat", options, "Good morning\n/reset\nGood morning\n/exit\nGood morning\n");
    assertEquals(reset, `${first}\n${first}\n`);
    const { code, stderr } = await run("chat", [...options, "--context", "64"], "Good morning\n".repeat(9));
    assertEquals(code, 0);
    assertStringIncludes(stderr, "forgotten");
  }, ".gguf");
});

Deno.test("chat tells of messages that are too long and commands that there aren't, and goes on", async () => {
  await withFile(await withChatTemplate(), async (path) => {
    const options = ["--model", path, "--temperature", "0", "--max-tokens", "8", "--ignore-eos"];
    const both = await succeed("chat", options, "Good morning\nWho is there?\n");
    const long = "the sea ".repeat(2000);
    const { code, stdout, stderr } = await run(
      "chat",
      options,
      `Good morning\n${long}\n/help\n/rest\nWho is there?\n`,
    );
    // the message that was refused has not cost the exchange before it
    assertEquals([code, stdout], [0, both]);
    assertMatch(
      stderr,
      /^\(message is "\d+ tokens", wanted less than the context of 1024[^\n]*\)\n\(there is no \/help/,
    );
    assertStringIncludes(stderr, "there is no /rest: /reset forgets");
  }, ".gguf");
});

const script = (await output(["script", "--version"])).success;
if (!script) console.warn("SKIPPED: no `script` of util-linux on this machine");

/** Gives a command a terminal of its own. */
function onTerminal(line: string) {
  const child = new Deno.Command("script", {
    args: ["-qefc", line, "/dev/null"],
    cwd: new URL("../../", import.meta.url),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const typed = child.stdin.getWriter();
  const screen = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  return { child, typed, screen };
}

Deno.test({
  name: "Ctrl-C while a model loads gives the terminal its cursor back",
  ignore: !script,
  async fn() {
    const model = await Deno.readFile(new URL(`../../${MODEL}`, import.meta.url));
    const slow = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
      let at = 0;
      const pull = async (controller: ReadableStreamDefaultController) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        controller.enqueue(model.subarray(at, at += 50_000));
      };
      return new Response(new ReadableStream({ pull }), {
        headers: { "content-length": String(model.length) },
      });
    });
    const line =
      `${Deno.execPath()} run -A src/cli/generate.ts --model http://127.0.0.1:${slow.addr.port}/m.gguf`;
    const { child, typed, screen } = onTerminal(line);
    let shown = "";
    while (!shown.includes("loading")) shown += (await screen.read()).value;
    await typed.write(new Uint8Array([3]));
    for (let piece = await screen.read(); !piece.done; piece = await screen.read()) shown += piece.value;
    assertEquals((await child.status).code, 130);
    const hidden = shown.lastIndexOf("\x1b[?25l");
    assert(hidden >= 0 && shown.lastIndexOf("\x1b[?25h") > hidden, JSON.stringify(shown));
    assert(shown.lastIndexOf("\x1b[?7h") > shown.lastIndexOf("\x1b[?7l"), "lines are wrapped again");
    await typed.close().catch(() => {});
    await slow.shutdown();
  },
});

Deno.test({
  name: "a server that sends nothing, or no more, is told on the terminal while it is waited for",
  ignore: !script,
  async fn() {
    const model = await Deno.readFile(new URL(`../../${MODEL}`, import.meta.url));
    for (const [stallAt, wanted] of [[0, "waiting for http://127.0.0.1"], [2 ** 21, "waiting for more"]]) {
      await using server = serveModel(model);
      server.stallAt = Number(stallAt);
      const line = `${Deno.execPath()} run -A src/cli/generate.ts --model ${server.url}`;
      const { child, typed, screen } = onTerminal(line);
      let shown = "";
      while (!shown.includes(String(wanted))) shown += (await screen.read()).value;
      await typed.write(new Uint8Array([3]));
      while (!(await screen.read()).done);
      assertEquals((await child.status).code, 130);
      await typed.close().catch(() => {});
    }
  },
});

Deno.test("what is no GGUF file, or not the whole of one, is told in one line with what to do next", async () => {
  const model = await Deno.readFile(new URL(`../../${MODEL}`, import.meta.url));
  const next = /wanted a whole GGUF file, unpacked/;
  for (const bytes of [0, 20, 3000, 1e6]) {
    await withFile(model.slice(0, bytes), (path) => fail("inspect", [path], next), ".gguf");
  }
  for (const other of ["PK\x03\x04", "<!doctype html><html>", '{"a": 1}']) {
    await withFile(other, (path) => fail("plan", [path], next));
  }
});

Deno.test("what a command needs and wasn't given is said to be missing", async () => {
  await fail("tokenize", [], /--prompt is not given/);
  for (const name of ["score", "calibrate"]) await fail(name, [], /--text-file is not given/);
  await fail("shard", [], /MODEL is not given/);
});

Deno.test("a schema that is no JSON is told in one line, of however many the parser speaks", () =>
  fail("generate", ["--prompt", "x", "--json-schema", "README.md"], /README\.md.*a file of JSON.*--help/));

Deno.test("score names what is too short, and quotes no text", async () => {
  await fail(
    "score",
    ["--text-file", "README.md", "--context", "1"],
    /--context is "1", wanted .* at least 2/,
  );
  await withFile(
    "a",
    (path) => fail("score", ["--text-file", path], /--text-file is "[^"]*\.txt", wanted a text/),
  );
});

Deno.test("a text comes from standard input where a file is called -", async () => {
  const text = "The old house";
  assertEquals(
    await succeed("tokenize", ["--prompt-file", "-"], text),
    await succeed("tokenize", ["--prompt", text]),
  );
  assertMatch(await succeed("score", ["--text-file", "-"], text), /^2 tokens, /);
});
