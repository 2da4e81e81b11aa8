/**
 * Locket runs language models from GGUF files in WebAssembly, in memory that is fixed before the first weight is read.
 *
 * ```ts
 * import { generate, loadModel } from "@locket/locket";
 *
 * const model = await loadModel("models/locket-books-q8_0.gguf", { maxBytes: 16e6 });
 * const { text } = await generate(model, "The old house", { maxTokens: 16 }).result();
 * console.log(text);
 * model.dispose();
 * ```
 *
 * @module
 */
export * from "./src/entry/common.ts";
export { loadModel } from "./src/runtime/load_model.ts";
export { type DenoKv, denoKvSessions } from "./src/stores/deno_kv.ts";
export { fileSessions } from "./src/stores/files.ts";
