/**
 * Models in the Cache API: of browsers, of Workers, of Deno.
 *
 * @module
 */
import type { ModelStore } from "./model_store.ts";

/** What is needed of a `Cache`. */
export interface CacheApi {
  match(url: string): Promise<Response | undefined>;
  put(url: string, response: Response): Promise<void>;
  delete(url: string): Promise<boolean>;
}

/** Requests are never sent there. */
const BASE = "https://locket.invalid/";

/**
 * A store in a cache. Browsers keep it until they run out of space; Workers one a data centre, for as long as nothing
 * else needs the space, and none under `workers.dev`.
 *
 * @example
 * ```ts ignore
 * const model = await loadModel(cachedSource(url, cacheStore(await caches.open("models"))));
 * ```
 */
export function cacheStore(cache: CacheApi): ModelStore {
  return {
    async get(name) {
      return (await cache.match(BASE + name))?.body ?? undefined;
    },
    async put(name, bytes) {
      const headers = {
        "content-type": "application/octet-stream",
        "content-length": `${bytes.length}`,
        "cache-control": "public, max-age=31536000, immutable",
      };
      await cache.put(BASE + name, new Response(bytes, { headers }));
    },
    async delete(name) {
      await cache.delete(BASE + name);
    },
  };
}
