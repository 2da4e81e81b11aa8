import { assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "../../src/error.ts";
import { instantiateKernels } from "../../src/kernels/load.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";

const plan = placeRegions([{ name: "all", bytes: 4096 }]);
const kernels = await instantiateKernels(await kernelModule("simd128"), plan.totalBytes);
const arena = new Arena(kernels.buffer, plan);
const layout = new Layout(regionOffset(plan, "all"));
const [x, y, ids, values] = [layout.floats(64), layout.floats(16), layout.words(8), layout.floats(8)];

Deno.test("wrappers refuse buffers that are too short and name kernel and argument", () => {
  assertThrows(() => kernels.add(y, x, 17), KernelError, "add: out does not fit");
  assertThrows(() => kernels.rmsnorm(y, x, y, 2, 1e-5), KernelError, "rmsnorm: out");
  assertThrows(() => kernels.logits.topk(ids, values, x, 64, 9), KernelError, "topk");
  assertThrows(() => kernels.logits.read(y, 16), KernelError, "read_f32");
});

Deno.test("wrappers call the kernels with what they were given", () => {
  arena.floats(x).set(Float32Array.from({ length: 64 }, (_, i) => i));
  arena.floats(y).fill(1);
  kernels.add(x, y, 16);
  assertEquals(kernels.logits.read(x, 15), 16);
  kernels.logits.topk(ids, values, x, 64, 2);
  assertEquals([...arena.words(ids).subarray(0, 2)], [63, 62]);
  assertEquals(kernels.logits.argmax(x, 64), 63);
});
