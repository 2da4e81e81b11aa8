import { assertEquals } from "@std/assert";
import { GgmlType } from "../../src/gguf/mod.ts";
import { instantiateKernels } from "../../src/kernels/load.ts";
import { keyBytes, quantizedBytes, valueBytes } from "../../src/kernels/sizes.ts";
import { PAGE_BYTES } from "../../src/memory/plan.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";

for (const binary of ["simd128", "relaxed"] as const) {
  const instance = await WebAssembly.instantiate(await kernelModule(binary));
  const raw = instance.exports as unknown as typeof import("../../src/kernels/wasm/kernels.d.ts");

  Deno.test(`the plan's sizes are those of the ${binary} kernels`, () => {
    for (const nCols of [32, 64, 576, 1536, 4096]) {
      assertEquals(quantizedBytes(nCols), raw.quantized_bytes(nCols));
    }
    for (const type of [GgmlType.F32, GgmlType.F16, GgmlType.Q8_0, GgmlType.Q4_0]) {
      for (
        const [capacity, nKvHeads, width] of [[32, 1, 8], [64, 3, 64], [4096, 8, 128], [96, 2, 256], [
          32,
          2,
          80,
        ]]
      ) {
        const bytes = (isValue: number) => raw.kv_bytes(capacity, nKvHeads, width, type, isValue) >>> 0;
        assertEquals(keyBytes(capacity, nKvHeads, width, type), bytes(0));
        assertEquals(valueBytes(capacity, nKvHeads, width, type), bytes(1));
      }
    }
  });

  Deno.test(`the ${binary} module imports nothing and takes the size it is told, once`, async () => {
    const module = await kernelModule(binary);
    assertEquals(WebAssembly.Module.imports(module), []);
    const kernels = await instantiateKernels(module, 40 * PAGE_BYTES);
    assertEquals(kernels.buffer.byteLength, 40 * PAGE_BYTES);
  });
}
