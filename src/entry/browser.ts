/**
 * Locket in browsers, on a page or in a Web Worker; the kernels are fetched from beside the code.
 *
 * @module
 */
export * from "./common.ts";
export { opfsStore } from "../runtime/cached/opfs_store.ts";
export { loadModel } from "../runtime/load_model.ts";
