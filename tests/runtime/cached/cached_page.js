/** On a page and in a Web Worker the same: `loadThrough(store, url)` with a store of the browser. */
import { cacheStore, opfsStore } from "@locket/locket";
import { loadCached } from "./load_cached.js";

globalThis.loadThrough = async (store, url) =>
  await loadCached(url, store === "opfs" ? await opfsStore() : cacheStore(await caches.open("models")));

if (globalThis.document === undefined) {
  addEventListener("message", async ({ data: [store, url] }) => {
    try {
      postMessage(await globalThis.loadThrough(store, url));
    } catch (error) {
      postMessage({ error: String(error) });
    }
  });
} else {
  globalThis.loadInWorker = (store, url) =>
    new Promise((resolve) => {
      const worker = new Worker(import.meta.url, { type: "module" });
      worker.addEventListener("message", ({ data }) => resolve(data));
      worker.postMessage([store, url]);
    });
}
