/**
 * The kernel binaries as Node and Bun find them: files beside the code, which Node's `fetch` does not read.
 *
 * @module
 */
import type { Binary } from "../kernels/load.ts";
import { unreadable } from "./unreadable_kernels.ts";
import { readNodeFile } from "./node.ts";

/**
 * Reads and compiles one of the two binaries.
 *
 * @throws {KernelError} When the file can't be read.
 */
export async function kernelModule(
  binary: Binary,
): Promise<WebAssembly.Module> {
  const url = binary === "relaxed"
    ? new URL("../kernels/wasm/relaxed.wasm", import.meta.url)
    : new URL("../kernels/wasm/simd128.wasm", import.meta.url);
  try {
    return await WebAssembly.compile(await readNodeFile(url));
  } catch (cause) {
    throw unreadable(binary, url, cause);
  }
}
