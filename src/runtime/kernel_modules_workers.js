/**
 * The kernel binaries as Workers get them: imported as modules that are compiled already, since a Worker may not compile
 * bytes. JavaScript, because to TypeScript a `.wasm` import is an instance.
 *
 * @module
 */
import * as relaxed from "../kernels/wasm/relaxed.wasm";
import * as simd128 from "../kernels/wasm/simd128.wasm";

/**
 * @param {"simd128" | "relaxed"} binary
 * @returns {Promise<WebAssembly.Module>}
 */
export function kernelModule(binary) {
  return Promise.resolve((binary === "relaxed" ? relaxed : simd128).default);
}
