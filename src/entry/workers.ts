/**
 * Locket in Cloudflare Workers and other hosts that hand out `.wasm` imports as compiled modules. Nothing runs before a
 * handler calls it.
 *
 * @module
 */
import { loadModel as load, type Model } from "../model/engine.ts";
// @ts-types="../runtime/kernel_modules_workers.d.ts"
import { kernelModule } from "../runtime/kernel_modules_workers.js";
import type { LoadModelOptions } from "../runtime/load_model.ts";
import { type ModelInput, openSource } from "../runtime/open_source.ts";

export * from "./common.ts";
export { type KvNamespace, kvStore } from "../runtime/cached/kv_store.ts";
export { guardedBody, type WorkerContext } from "../runtime/guarded_body.ts";
export { type R2Bucket, r2Object } from "../runtime/r2.ts";
export { durableObjectSessions, type SessionNamespace, SessionObject } from "../stores/durable_object.ts";
export { type R2SessionBucket, r2Sessions } from "../stores/r2.ts";
export { type SessionKvNamespace, workersKvSessions } from "../stores/workers_kv.ts";

/** Loads a GGUF model. Options, errors and result are those of `loadModel` in every other runtime. */
export async function loadModel(input: ModelInput, options: LoadModelOptions = {}): Promise<Model> {
  return await load(openSource(input, options), { kernels: kernelModule, ...options });
}
