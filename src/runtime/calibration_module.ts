/**
 * The binary `calibrate` as Deno finds it. A module of its own: nothing that runs models may bring it along.
 *
 * @module
 */
import { KernelError } from "../error.ts";

/**
 * Reads and compiles it.
 *
 * @throws {KernelError} When the file can't be read.
 */
export async function calibrationModule(): Promise<WebAssembly.Module> {
  try {
    const response = await fetch(new URL("../kernels/wasm/calibrate.wasm", import.meta.url));
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (cause) {
    throw new KernelError("calibrate.wasm could not be read", "load", { cause });
  }
}
