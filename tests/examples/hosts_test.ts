/**
 * The examples for Node, Bun, a page and Deno Deploy, as they are.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { loadModel } from "../../mod.ts";
import { generate } from "../../src/generate.ts";
import { openPage } from "../tools/browser.ts";
import { serveModel } from "../tools/model_server.ts";
import { bundleApp, chromium, installedApp, output, tool } from "../tools/tools.ts";

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

Deno.test({ name: "examples/page runs in Chromium", ignore: await chromium() === undefined }, async () => {
  const app = await installedApp();
  const script = await bundleApp(new URL("../../examples/page/main.js", import.meta.url), ["browser"]);
  const kernel = (name: string) => new URL(`node_modules/@locket/locket/src/kernels/wasm/${name}.wasm`, app);
  await using opened = await openPage({
    "/": {
      text:
        `<!doctype html><link rel="icon" href="data:,"><script type="module" src="/src/entry/main.js"></script>`,
      type: "text/html",
    },
    "/src/entry/main.js": { text: script, type: "text/javascript" },
    "/src/kernels/wasm/simd128.wasm": kernel("simd128"),
    "/src/kernels/wasm/relaxed.wasm": kernel("relaxed"),
    "/model.gguf": new URL("../../models/locket-books-q8_0.gguf", import.meta.url),
  });
  const wanted = await expected(1024);
  await opened.page.waitForFunction(`document.body.textContent.length >= ${wanted.length}`);
  assertEquals(await opened.page.evaluate("document.body.textContent"), wanted);
  assertEquals(opened.errors, []);
});

/** Runs the example of Deno Deploy, asks it once, and ends it as the platform does. */
async function askDeploy(env: Record<string, string>): Promise<string> {
  const main = new URL("../../examples/deno-deploy/main.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["serve", "--port=0", "--allow-read", "--allow-env", "--allow-net", main],
    env,
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
  const { choices } = await response.json();
  child.kill("SIGINT");
  while (!(await lines.read()).done);
  await child.status;
  return choices[0].text;
}

Deno.test("examples/deno-deploy serves a model of its own", async () => {
  assertEquals(await askDeploy({ MODEL: path, API_KEY: "one,two" }), await expected(1024));
});

/** A folder for Deno that shares everything with its own but what programs store. */
async function emptyDenoDir(): Promise<string> {
  const { denoDir } = JSON.parse(await output([Deno.execPath(), "info", "--json"]));
  const folder = await Deno.makeTempDir();
  for await (const { name } of Deno.readDir(denoDir)) {
    if (name !== "location_data") await Deno.symlink(`${denoDir}/${name}`, `${folder}/${name}`);
  }
  return folder;
}

Deno.test("examples/deno-deploy fetches a model once", async () => {
  await using server = serveModel(await Deno.readFile(path));
  const folder = await emptyDenoDir();
  const env = { MODEL_URL: server.url, API_KEY: "one,two", DENO_DIR: folder };
  assertEquals(await askDeploy(env), await expected(1024));
  await server.cut();
  assertEquals(await askDeploy(env), await expected(1024));
  await Deno.remove(folder, { recursive: true });
});
