/**
 * Models kept in Workers KV and in the Cache API, in workerd: the second load needs no network, also after a kill.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { hasWorkerd, serveWorker } from "../../tools/worker.ts";
import { serveModel } from "../../tools/model_server.ts";
import { expectedTokens, modelBytes } from "./model_bytes.ts";

const ignore = !await hasWorkerd();
const entry = new URL("cached_worker.js", import.meta.url);

for (const store of ["kv", "cache"]) {
  Deno.test({ name: `a Worker loads once from the network and then out of ${store}`, ignore }, async () => {
    const bytes = await modelBytes();
    const tokens = [...await expectedTokens()];
    await using server = serveModel(bytes);
    const folder = await Deno.makeTempDir();
    const serve = () =>
      serveWorker(entry, {
        kvNamespaces: ["KV"],
        kvPersist: `${folder}/kv`,
        cachePersist: `${folder}/cache`,
      });
    const ask = (url: string) => fetch(`${url}?store=${store}&url=${encodeURIComponent(server.url)}`);
    try {
      {
        await using worker = await serve();
        server.stallAt = bytes.length - 1000;
        const asked = ask(worker.url).then((response) => response.text(), () => {});
        while (server.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
        await new Promise((resolve) => setTimeout(resolve, 300));
        // all chunks but the last may be there now, and no manifest
        Deno.kill(worker.pid, "SIGKILL");
        await asked;
      }
      server.stallAt = Infinity;
      await using worker = await serve();
      const first = await (await ask(worker.url)).json();
      assertEquals([first.tokens, first.fromStore, first.fromNetwork], [tokens, 0, bytes.length]);
      assert(first.stored, first.problem);
      await server.cut();
      const second = await (await ask(worker.url)).json();
      assertEquals([second.tokens, second.fromStore, second.fromNetwork], [tokens, bytes.length, 0]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
