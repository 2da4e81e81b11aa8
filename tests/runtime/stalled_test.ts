/**
 * A model's server that falls silent, in every runtime: loading ends with an error that says so.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { openPage, scriptPage } from "../tools/browser.ts";
import { type ModelServer, serveModel } from "../tools/model_server.ts";
import { chromium, installedApp, output, tool } from "../tools/tools.ts";
import { hasWorkerd, serveWorker } from "../tools/worker.ts";

const bytes = await Deno.readFile(new URL("../../models/locket-books-q8_0.gguf", import.meta.url));
const node = await tool("node");
const bun = await tool("bun");
const browser = await chromium();

/** The server is silent from the start, then in the middle of the weights. */
async function assertTold(load: (url: string) => Promise<string>): Promise<void> {
  for (const stallAt of [0, 2 ** 21]) {
    await using server: ModelServer = serveModel(bytes);
    server.stallAt = stallAt;
    const told = await load(server.url);
    // a browser's own cache may end a connection before the time is over
    assertEquals(
      told.replace(/after [23] tries/, "after N tries"),
      `SourceError: ${server.url}: can't be read at byte ${stallAt} after N tries: ` +
        "no byte came for 0.2 s, wanted the next one within that time",
    );
    assertEquals(new Set(server.asked.map(({ from }) => from)), new Set([0, stallAt]));
  }
}

async function inApp(...command: string[]): Promise<void> {
  const app = await installedApp();
  for (const file of ["stalled.js", "node/stalled_main.js"]) {
    await Deno.copyFile(new URL(file, import.meta.url), new URL(file.split("/").at(-1)!, app));
  }
  await assertTold(async (url) => (await output([...command, "stalled_main.js", url], { cwd: app })).trim());
}

Deno.test("a server that falls silent ends loading in Deno", () =>
  inApp(Deno.execPath(), "run", "--no-config", "--node-modules-dir=manual", "--allow-read", "--allow-net"));

Deno.test({
  name: "a server that falls silent ends loading in Node",
  ignore: node === undefined,
  fn: () => inApp(node!),
});

Deno.test({
  name: "a server that falls silent ends loading in Bun",
  ignore: bun === undefined,
  fn: () => inApp(bun!),
});

Deno.test({
  name: "a server that falls silent ends loading in workerd",
  ignore: !await hasWorkerd(),
  async fn() {
    await using worker = await serveWorker(new URL("workerd/stalled_worker.js", import.meta.url));
    await assertTold(async (url) =>
      await (await fetch(`${worker.url}?url=${encodeURIComponent(url)}`)).text()
    );
  },
});

Deno.test({
  name: "a server that falls silent ends loading in Chromium",
  ignore: browser === undefined,
  async fn() {
    const page = new URL("browser/stalled_page.js", import.meta.url);
    await using opened = await openPage(await scriptPage(page, "relaxed"));
    await opened.page.waitForFunction("typeof stalled === 'function'");
    await assertTold((url) => opened.page.evaluate(`stalled(${JSON.stringify(url)})`) as Promise<string>);
  },
});
