/**
 * The kernel binaries as Deno and browsers find them: files beside the code, local or remote.
 *
 * @module
 */
import type { Binary } from "../kernels/load.ts";
import { unreadable } from "./unreadable_kernels.ts";

/** Where a binary lies. Written out in full each, as bundlers for browsers look for this very form. */
const urlOf = (binary: Binary): URL =>
  binary === "relaxed"
    ? new URL("../kernels/wasm/relaxed.wasm", import.meta.url)
    : new URL("../kernels/wasm/simd128.wasm", import.meta.url);

/**
 * Reads and compiles one of the two binaries.
 *
 * @throws {KernelError} When the file can't be read.
 */
export async function kernelModule(
  binary: Binary,
): Promise<WebAssembly.Module> {
  const url = urlOf(binary);
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (cause) {
    throw unreadable(binary, url, cause);
  }
}
