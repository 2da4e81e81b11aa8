/**
 * The same ten-token script in every runtime, from the package as it is installed.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { chromium, installedApp, output, tool } from "../tools/tools.ts";
import { hasWorkerd, serveWorker } from "../tools/worker.ts";
import { openPage, scriptPage } from "../tools/browser.ts";
import { tenTokens } from "./ten_tokens.js";

const model = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const here = await tenTokens(model);
const node = await tool("node");
const bun = await tool("bun");
const browser = await chromium();

Deno.test("ten tokens in Deno from the sources", () => {
  assertEquals([here.greedy.length, here.drawn.length, here.binary], [10, 10, "simd128"]);
});

async function inApp(...command: string[]) {
  const app = await installedApp();
  await Deno.copyFile(new URL("ten_tokens.js", import.meta.url), new URL("ten_tokens.js", app));
  await Deno.copyFile(new URL("node/ten_tokens_main.js", import.meta.url), new URL("main.js", app));
  return JSON.parse(await output([...command, "main.js", model.pathname], { cwd: app }));
}

Deno.test("ten tokens in Deno from the npm package are the same", async () => {
  const flags = ["run", "--no-config", "--node-modules-dir=manual", "--allow-read"];
  assertEquals(await inApp(Deno.execPath(), ...flags), here);
});

Deno.test({
  name: "ten tokens in Node are the same",
  ignore: node === undefined,
  fn: async () => assertEquals(await inApp(node!), here),
});

Deno.test({
  name: "ten tokens in Bun are the same",
  ignore: bun === undefined,
  fn: async () => assertEquals(await inApp(bun!), here),
});

Deno.test({
  name: "ten tokens in workerd are the same",
  ignore: !await hasWorkerd(),
  async fn() {
    const entry = new URL("workerd/ten_tokens_worker.js", import.meta.url);
    await using worker = await serveWorker(entry, { data: { "src/entry/model.gguf": model } });
    assertEquals(await (await fetch(worker.url)).json(), here);
  },
});

Deno.test({
  name: "ten tokens in Chromium are the same",
  ignore: browser === undefined,
  async fn() {
    const page = new URL("browser/ten_tokens_page.js", import.meta.url);
    await using opened = await openPage({ ...await scriptPage(page, "simd128"), "/model.gguf": model });
    await opened.page.waitForFunction("typeof tenTokens === 'function'");
    assertEquals(await opened.page.evaluate(`tenTokens(new URL("/model.gguf", location.href))`), here);
  },
});
