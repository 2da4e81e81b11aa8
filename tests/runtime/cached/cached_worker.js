/** `?url=…&store=kv|cache`: loads a model through a store. */
import { cacheStore, kvStore } from "@locket/locket";
import { loadCached } from "./load_cached.js";

export default {
  async fetch(request, env) {
    const { searchParams } = new URL(request.url);
    const kv = searchParams.get("store") === "kv";
    const store = kv ? kvStore(env.KV) : cacheStore(await caches.open("models"));
    return Response.json(await loadCached(searchParams.get("url"), store));
  },
};
