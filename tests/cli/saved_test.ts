import { assert, assertEquals, assertMatch } from "@std/assert";
import { fail, json, run, succeed, withFile } from "./run.ts";
import { withChatTemplate } from "./templated.ts";

const PROMPT = ["--prompt", "She looked out of the window and", "--ignore-eos"];

/** Calls `use` with the path of a file that is not there yet. */
async function withPath(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await use(`${folder}/saved`);
  await Deno.remove(folder, { recursive: true });
}

for (
  const policy of [[], ["--policy", "keyformer", "--budget", "12"], ["--policy", "h2o", "--budget", "0.5"]]
) {
  Deno.test(`generate --save and --from go on as if there had been no end: ${policy[1] ?? "full"}`, async () => {
    await withPath(async (path) => {
      const whole = await json("generate", [...PROMPT, ...policy, "--max-tokens", "24"]);
      const first = await json("generate", [...PROMPT, ...policy, "--max-tokens", "10", "--save", path]);
      const more = ["--ignore-eos", ...policy, "--from", path, "--save", path, "--max-tokens", "7"];
      const second = await json("generate", more);
      const third = await json("generate", more);
      assertEquals([...first.tokens, ...second.tokens, ...third.tokens], whole.tokens);
    });
  });
}

Deno.test("generate --save keeps what there is at Ctrl-C", async () => {
  await withPath(async (path) => {
    const args = ["run", "-A", "src/cli/generate.ts", ...PROMPT, "--context", "1000", "--max-tokens", "900"];
    const child = new Deno.Command(Deno.execPath(), {
      args: [...args, "--save", path],
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (text.length < 50) text += (await reader.read()).value;
    child.kill("SIGINT");
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) text += piece.value;
    await child.stderr.cancel();
    assertEquals((await child.status).code, 0);
    const more = await json("generate", [
      "--context",
      "1000",
      "--from",
      path,
      "--max-tokens",
      "5",
      "--ignore-eos",
    ]);
    assertEquals(more.tokens.length, 5);
  });
});

Deno.test("generate refuses what it can't go on with, in one line", async () => {
  await withPath(async (path) => {
    await succeed("generate", [...PROMPT, "--max-tokens", "2", "--save", path]);
    await fail(
      "generate",
      ["--from", path, "--kv-type", "f16"],
      /snapshot can't be restored: keys is q8_0, wanted f16/,
    );
    await fail("generate", ["--from", `${path}-not`], /--from is .*a file that can be read/);
    const bytes = await Deno.readFile(path);
    bytes[bytes.length >> 1] ^= 1;
    await Deno.writeFile(path, bytes);
    await fail("generate", ["--from", path], /SHA-256/);
    await fail(
      "generate",
      ["--from", path, "--prompt", "x", "--policy", "h2o"],
      /policy is full, wanted h2o/,
    );
  });
});

Deno.test("chat --save and --from go on with a conversation", async () => {
  await withFile(await withChatTemplate(), async (model) => {
    await withPath(async (path) => {
      const options = ["--model", model, "--temperature", "0", "--max-tokens", "8"];
      const both = await succeed(
        "chat",
        [...options, "--system", "Be short"],
        "Good morning\nWho is there?\n",
      );
      const saved = [...options, "--save", path];
      const first = await succeed("chat", [...saved, "--system", "Be short"], "Good morning\n");
      const second = await succeed("chat", [...saved, "--from", path], "Who is there?\n");
      assertEquals(first + second, both);
      await fail("chat", [...options, "--from", path, "--system", "x"], /--system is "x", wanted none/);
      const { code, stderr } = await run("generate", ["--model", model, "--from", path]);
      assertEquals(code, 1);
      assertMatch(stderr, /its sections/);
      assert((await Deno.stat(path)).size > 1000);
    });
  }, ".gguf");
});
