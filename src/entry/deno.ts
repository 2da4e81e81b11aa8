/**
 * Locket in Deno, as a package from npm. The same as `mod.ts`.
 *
 * @module
 */
export * from "./common.ts";
export { loadModel } from "../runtime/load_model.ts";
export { type DenoKv, denoKvSessions } from "../stores/deno_kv.ts";
export { fileSessions } from "../stores/files.ts";
