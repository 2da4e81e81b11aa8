/**
 * Picks and instantiates a kernel binary. Reading its bytes is the host's business (`runtime/`).
 *
 * @module
 */
import { KernelError } from "../error.ts";
import { GUARD_BYTES, PAGE_BYTES, RESERVED_BYTES } from "../memory/plan.ts";
import { type KernelExports, Kernels } from "./kernels.ts";
import { ABI_VERSION } from "./wasm/abi_version.ts";

/** `simd128` gives the same bits on every machine; `relaxed` is faster and may differ in the last ones. */
export type Binary = "simd128" | "relaxed";

/** Gets the module of a binary: compiled already where a runtime refuses to compile bytes. */
export type KernelModules = (binary: Binary) => Promise<WebAssembly.Module | BufferSource>;

/** A module of one function: three splatted zeros, then the instructions under test. */
function probe(...instructions: number[]): Uint8Array<ArrayBuffer> {
  const zero = [0x41, 0x00, 0xfd, 0x0f]; // i32.const 0, i8x16.splat
  const body = [0x00, ...zero, ...zero, ...zero, ...instructions, 0x0b];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
    ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00], // one type: () -> ()
    ...[0x03, 0x02, 0x01, 0x00], // one function of it
    ...[0x0a, body.length + 2, 0x01, body.length, ...body],
  ]);
}

const DROP = 0x1a;
const SIMD128 = probe(DROP, DROP, DROP);
const RELAXED = probe(0xfd, 0x93, 0x02, DROP); // i32x4.relaxed_dot_i8x16_i7x16_add_s

/**
 * The faster binary that this runtime can run.
 *
 * @throws {KernelError} When the runtime has no WASM SIMD at all.
 */
export function bestBinary(): Binary {
  if (WebAssembly.validate(RELAXED)) return "relaxed";
  if (WebAssembly.validate(SIMD128)) return "simd128";
  throw new KernelError("this runtime has no WebAssembly SIMD", "probe");
}

/**
 * Instantiates a binary and grows its memory, once, to `totalBytes`.
 *
 * @throws {KernelError} When the module was built for another version, doesn't keep to its reserved start, or
 *   the memory can't be had.
 */
export async function instantiateKernels(
  source: WebAssembly.Module | BufferSource,
  totalBytes: number,
): Promise<Kernels> {
  return new Kernels(await instantiate(source, totalBytes));
}

/** The same, and what the binary exports as it is. */
export async function instantiate(
  source: WebAssembly.Module | BufferSource,
  totalBytes: number,
): Promise<KernelExports> {
  const module = source instanceof WebAssembly.Module ? source : await WebAssembly.compile(source);
  const instance = await WebAssembly.instantiate(module);
  const exports = instance.exports as unknown as KernelExports;
  const version = exports.abi_version?.();
  if (version !== ABI_VERSION) {
    throw new KernelError(
      `the exports of the binary are version ${version}, this code calls version ${ABI_VERSION}`,
      "abi_version",
    );
  }
  const reserved = exports.reserved_bytes() >>> 0;
  if (reserved > RESERVED_BYTES - GUARD_BYTES) {
    throw new KernelError(
      `the module takes ${reserved} bytes, the plan reserves ${RESERVED_BYTES}`,
      "reserved_bytes",
    );
  }
  const missing = totalBytes - exports.memory.buffer.byteLength;
  try {
    if (missing > 0) exports.memory.grow(missing / PAGE_BYTES);
  } catch (cause) {
    throw new KernelError(`the runtime refuses ${totalBytes} bytes of memory`, "memory", { cause });
  }
  return exports;
}
