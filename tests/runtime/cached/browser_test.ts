/**
 * Models kept in a browser's private file system and in its caches: the second load needs no network, also when the
 * browser was killed in the first.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { openProfile, scriptPage, serveFiles } from "../../tools/browser.ts";
import { serveModel } from "../../tools/model_server.ts";
import { chromium } from "../../tools/tools.ts";
import { expectedTokens, modelBytes } from "./model_bytes.ts";

const ignore = await chromium() === undefined;

const files = () => scriptPage(new URL("cached_page.js", import.meta.url), "simd128");

const PLACES = [["opfs", "loadInWorker"], ["opfs", "loadThrough"], ["cache", "loadInWorker"]] as const;

for (const [store, load] of PLACES) {
  const place = load === "loadInWorker" ? "a Web Worker" : "a page";
  Deno.test(
    { name: `${place} loads once from the network and then out of ${store}, killed between or not`, ignore },
    async () => {
      const bytes = await modelBytes();
      const tokens = [...await expectedTokens()];
      await using model = serveModel(bytes);
      const server = serveFiles(await files(), { port: 0, onListen() {} });
      const origin = `http://127.0.0.1:${server.addr.port}/`;
      const profile = await Deno.makeTempDir();
      const call = `${load}("${store}", "${model.url}")`;
      const stored = `navigator.storage.estimate().then(({ usage }) => usage)`;
      try {
        {
          await using opened = await openProfile(origin, profile);
          await opened.page.waitForFunction("globalThis.loadThrough");
          model.stallAt = bytes.length - 1000;
          opened.page.evaluate(call).catch(() => {});
          // two chunks of three are in the store
          await opened.page.waitForFunction(`${stored}.then((usage) => usage >= ${2 * 2 ** 22})`);
          await opened.crash();
        }
        model.stallAt = Infinity;
        {
          await using opened = await openProfile(origin, profile);
          await opened.page.waitForFunction("globalThis.loadThrough");
          // two tabs at once: one of them may find the store taken, and loads all the same
          const other = await opened.page.context().newPage();
          await other.goto(origin);
          await other.waitForFunction("globalThis.loadThrough");
          const tabs = [opened.page, other].map((tab) => tab.evaluate<Found>(call));
          const first = await Promise.all(tabs);
          for (const found of first) {
            assertEquals([found.tokens, found.fromStore + found.fromNetwork], [tokens, bytes.length]);
          }
          // what was left half-written is not trusted: whoever came first fetched all of it
          assert(first.some(({ fromNetwork }) => fromNetwork === bytes.length));
          assert(first.some(({ stored }) => stored), first.map(({ problem }) => problem).join());
        }
        await model.cut();
        await using opened = await openProfile(origin, profile);
        await opened.page.waitForFunction("globalThis.loadThrough");
        const second: Found = await opened.page.evaluate(call);
        assertEquals([second.tokens, second.fromStore, second.fromNetwork], [tokens, bytes.length, 0]);
      } finally {
        await server.shutdown();
        await Deno.remove(profile, { recursive: true });
      }
    },
  );
}

interface Found {
  readonly tokens: number[];
  readonly fromStore: number;
  readonly fromNetwork: number;
  readonly stored: boolean;
  readonly problem?: string;
}
