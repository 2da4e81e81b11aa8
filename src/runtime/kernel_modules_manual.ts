/**
 * The kernel binaries as a caller brings them.
 *
 * @module
 */
import { KernelError } from "../error.ts";
import type { Binary, KernelModules } from "../kernels/load.ts";

/** A binary: compiled, its bytes, the answer of `fetch`, or where to fetch it. */
export type KernelInput = WebAssembly.Module | BufferSource | Response | URL;

/** Reads whichever binary is asked for, at that time. */
export function readKernels(given: Readonly<Partial<Record<Binary, KernelInput>>>): KernelModules {
  return async (binary) => {
    const input = given[binary];
    if (input === undefined) {
      throw new KernelError(`${binary}.wasm was not given`, "load");
    }
    if (!(input instanceof URL || input instanceof Response)) return input;
    const response = input instanceof URL ? await fetch(input) : input;
    if (!response.ok) {
      throw new KernelError(`${binary}.wasm: HTTP status ${response.status}`, "load");
    }
    return await response.arrayBuffer();
  };
}
