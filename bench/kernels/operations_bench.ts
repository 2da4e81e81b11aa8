/**
 * The small operations of a token, both binaries side by side, on the sizes of SmolLM2-135M. A name ends with the bytes
 * that the operation reads and writes: divided by the time of an iteration they are its GB/s.
 *
 *   deno bench -A bench/kernels/operations_bench.ts
 *
 * Matrix products and attention, which take nearly all of the time, have benches of their own beside this one.
 */
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";

type Exports = typeof import("../../src/kernels/wasm/kernels.d.ts");

const N_TOKENS = 64, DIM = 576, FFN = 1536, HEADS = 9, HEAD_DIM = 64, VOCABULARY = 49152, EPS = 1e-5;
const BINARIES = ["simd128", "relaxed"] as const;
/** Bytes of one of the four buffers that the operations work on. */
const BUFFER = 1 << 20;

interface Operation {
  name: string;
  bytes: number;
  run(kernels: Exports, a: number, b: number, c: number, d: number): unknown;
  /** Compares buffer `a` after a run with what it has to be, given what the buffers held. */
  check?(a: Float32Array, before: Float32Array): boolean;
}

const close = (x: number, y: number) => Math.abs(x - y) <= 1e-4 * (1 + Math.abs(y));

const OPERATIONS: Operation[] = [
  {
    name: "rmsnorm 64 x 576",
    bytes: 8 * N_TOKENS * DIM,
    run: (k, a, b, c) => k.rmsnorm(a, b, c, N_TOKENS, DIM, EPS),
    check(a, before) {
      const row = before.subarray(0, DIM);
      const factor = 1 / Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / DIM + EPS);
      return close(a[7], before[7] * factor * before[7]);
    },
  },
  {
    name: "quantize 64 x 576",
    bytes: 5 * N_TOKENS * DIM,
    run: (k, a, b) => k.quantize(a, b, N_TOKENS, DIM),
  },
  {
    name: "gate (silu) 64 x 1536",
    bytes: 12 * N_TOKENS * FFN,
    run: (k, a, b, c) => k.gate(a, b, c, N_TOKENS * FFN, 0),
    check: (a, before) => close(a[7], before[7] / (1 + Math.exp(-before[7])) * before[7]),
  },
  {
    name: "rope 64 x 9 heads of 64",
    bytes: 8 * N_TOKENS * DIM,
    run: (k, a, _b, _c, d) => k.rope(a, d, N_TOKENS, HEADS, HEAD_DIM, HEAD_DIM, 0),
  },
  {
    name: "topk 40 of 49152",
    bytes: 4 * VOCABULARY,
    run: (k, a, b, c) => k.topk(c, a, b, VOCABULARY, 40),
    check: (a, before) => a[0] === before.subarray(0, VOCABULARY).reduce((x, y) => Math.max(x, y)),
  },
  {
    name: "log_sum_exp of 49152",
    bytes: 4 * VOCABULARY,
    run: (k, _a, b) => k.log_sum_exp(b, VOCABULARY),
  },
];

for (const binary of BINARIES) {
  const { exports } = await WebAssembly.instantiate(await kernelModule(binary) as WebAssembly.Module);
  const kernels = exports as unknown as Exports;
  const start = (kernels.reserved_bytes() + 63) & ~63;
  kernels.memory.grow(Math.ceil((start + 4 * BUFFER - kernels.memory.buffer.byteLength) / 65536));
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => start + i * BUFFER);
  const values = Float32Array.from({ length: BUFFER / 4 }, (_, i) => 2 * Math.sin(1.7 * i));
  for (const operation of OPERATIONS) {
    for (const buffer of [a, b, c, d]) {
      new Float32Array(kernels.memory.buffer, buffer, values.length).set(values);
    }
    operation.run(kernels, a, b, c, d);
    const result = new Float32Array(kernels.memory.buffer, a, values.length);
    if (operation.check?.(result, values) === false) {
      throw new Error(`${operation.name}: wrong answer (${binary})`);
    }
    Deno.bench({
      name: `${operation.name}, ${binary}: ${(operation.bytes / 1000).toFixed(0)} kB`,
      group: operation.name,
      baseline: binary === "simd128",
      fn: () => void operation.run(kernels, a, b, c, d),
    });
  }
}
