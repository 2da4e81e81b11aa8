/**
 * Models in Workers KV: everywhere at once, a minute after they were written.
 *
 * @module
 */
import type { ModelStore } from "./model_store.ts";

/** What is needed of a Worker's KV binding. */
export interface KvNamespace {
  get(key: string, type: "stream"): Promise<ReadableStream<Uint8Array> | null>;
  put(key: string, value: ArrayBufferView<ArrayBuffer>): Promise<void>;
  delete(key: string): Promise<void>;
}

/**
 * A store in a namespace of KV, its values of 4 MiB under `prefix`.
 *
 * @example
 * ```ts ignore
 * const model = await loadModel(cachedSource(env.MODEL_URL, kvStore(env.KV)), { maxBytes: 100e6 });
 * ```
 */
export function kvStore(namespace: KvNamespace, prefix = "locket/"): ModelStore {
  return {
    async get(name) {
      return await namespace.get(prefix + name, "stream") ?? undefined;
    },
    put: (name, bytes) => namespace.put(prefix + name, bytes),
    delete: (name) => namespace.delete(prefix + name),
  };
}
