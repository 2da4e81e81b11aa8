/**
 * The examples for Node and for Deno Deploy, as they are.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { loadModel } from "../../mod.ts";
import { generate } from "../../src/generate.ts";
import { installedApp, output, tool } from "../tools/tools.ts";

const path = new URL("../../models/locket-books-q8_0.gguf", import.meta.url).pathname;
const node = await tool("node");
const bun = await tool("bun");

async function expected(context: number): Promise<string> {
  const model = await loadModel(path, { context });
  const { text } = await generate(model, "The old house", { maxTokens: 64 }).result();
  model.dispose();
  return text;
}

for (const [name, program] of [["Node", node], ["Bun", bun]] as const) {
  Deno.test({ name: `examples/node runs in ${name}`, ignore: program === undefined }, async () => {
    const app = await installedApp();
    await Deno.copyFile(new URL("../../examples/node/main.js", import.meta.url), new URL("example.js", app));
    const text = await output([program!, "example.js", path, "The old house"], { cwd: app });
    assertEquals(text, `${await expected(1024)}\n`);
  });
}

Deno.test("examples/deno-deploy serves", async () => {
  const main = new URL("../../examples/deno-deploy/main.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["serve", "--port=0", "--allow-read", "--allow-env", main],
    env: { MODEL: path, API_KEY: "one,two" },
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let port: string | undefined;
  while (port === undefined) {
    const { done, value } = await lines.read();
    if (done) throw new Error(text);
    text += value;
    port = /Listening on http:\/\/[^:]+:(\d+)/.exec(text)?.[1];
  }
  const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: "POST",
    headers: { authorization: "Bearer two" },
    body: JSON.stringify({ prompt: "The old house", max_tokens: 64, temperature: 0 }),
  });
  assertEquals((await response.json()).choices[0].text, await expected(1024));
  child.kill();
  while (!(await lines.read()).done);
  await child.status;
});
