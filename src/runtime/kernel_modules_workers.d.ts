import type { Binary } from "../kernels/load.ts";

/** One of the two binaries, compiled already. */
export function kernelModule(binary: Binary): Promise<WebAssembly.Module>;
