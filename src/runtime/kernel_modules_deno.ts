/**
 * The kernel binaries as Deno finds them: files beside the code, local or remote.
 *
 * @module
 */
import { KernelError } from "../error.ts";
import type { Binary } from "../kernels/load.ts";

/**
 * Reads and compiles one of the two binaries.
 *
 * @throws {KernelError} When the file can't be read.
 */
export async function kernelModule(binary: Binary): Promise<WebAssembly.Module> {
  const url = new URL(`../kernels/wasm/${binary}.wasm`, import.meta.url);
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (cause) {
    throw new KernelError(`${binary}.wasm could not be read`, "load", { cause });
  }
}
