/**
 * Matrix products of every tensor type beside what the machine reaches at most: decoding (one token, weights streamed
 * from memory) in bytes of weights a second, prefill in multiply-adds a second. The columns "2 at once" and "4 at once"
 * are decoding for several sequences: how much faster a token is than alone.
 *
 *   deno run -A bench/kernels_bench.ts [--binary relaxed|simd128] [--types Q4_0,Q8_0] [--tokens 64] [--json]
 *
 * Matrices have 1,536 rows; as many of them take turns as fill 64 MB, so that caches do not flatter. Every answer is
 * compared with a product of the dequantised weights in float64 before anything is timed.
 */
import { parseArgs } from "@std/cli/parse-args";
import { type GgmlTypeInfo, ggmlTypes } from "../src/gguf/ggml_type.ts";
import type { Binary } from "../src/kernels/load.ts";
import { measureMachine, shortest } from "./kernels/machine.ts";
import { commandLine } from "./usage.ts";

type Kernel = (...numbers: number[]) => number;

const ROWS = 1536;
const STREAMED = 64 << 20;
/** Sequences decoded at once. */
const TOGETHER = [2, 4] as const;
/** Largest error of a product accepted, relative to its size: the rounding of the activations to 8 bits. */
const TOLERANCE = 1e-2;
/** Where the 16-bit scales of a block are, which must be finite numbers. */
const SCALES: Record<string, number[]> = {
  Q4_1: [0, 2],
  Q5_1: [0, 2],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};
const PLAIN = new Set(["F32", "F16", "BF16"]);

/** Where everything lies; 64-byte aligned. */
function layOut(start: number, sizes: Record<string, number>): Record<string, number> {
  let at = start;
  return Object.fromEntries(
    Object.entries(sizes).map(([name, bytes]) => {
      const here = at = (at + 63) & ~63;
      at += bytes;
      return [name, here];
    }),
  );
}

/** Fills memory with bytes that are neither sorted nor repeated, and puts small positive scales where they belong. */
function fillWeights(memory: ArrayBuffer, offset: number, bytes: number, type: GgmlTypeInfo): void {
  const words = new Uint32Array(memory, offset, bytes >> 2);
  let state = 12345;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  const view = new DataView(memory, offset, bytes);
  if (type.name === "F32") { for (let i = 0; i < bytes; i += 4) view.setFloat32(i, Math.sin(i), true); }
  else if (type.name === "BF16") {
    for (let i = 0; i < bytes; i += 2) view.setUint16(i, 0x3d00 + i % 251, true);
  } else if (type.name === "F16") {
    for (let i = 0; i < bytes; i += 2) view.setUint16(i, 0x2800 + i % 1021, true);
  } else {
    for (let block = 0; block < bytes; block += type.blockBytes) {
      for (const at of SCALES[type.name] ?? [0]) view.setUint16(block + at, 0x1c00 + block % 1021, true);
    }
  }
}

interface Result {
  type: string;
  decodeGBs: number;
  /** Time of one token alone by that of one among 2 and among 4. */
  gains: [number, number];
  prefillGMACs: number;
}

/** Measures one type. @throws {Error} When an answer is wrong. */
async function measure(wasm: WebAssembly.Module, type: GgmlTypeInfo, nTokens: number): Promise<Result> {
  const { exports } = await WebAssembly.instantiate(wasm);
  const k = exports as unknown as Record<string, Kernel> & { memory: WebAssembly.Memory };
  const columns = type.blockSize === 256 ? 768 : 576;
  const row = columns / type.blockSize * type.blockBytes;
  const matrix = ROWS * row;
  const n = Math.ceil(STREAMED / matrix);
  const most = Math.max(nTokens, ...TOGETHER);
  const at = layOut(k.reserved_bytes(), {
    weights: n * matrix,
    x: 4 * most * columns,
    xq: most * k.quantized_bytes(columns),
    out: 4 * most * ROWS,
    scratch: 4 * row,
    ids: 4 * ROWS,
    values: 4 * ROWS * columns,
    end: 0,
  });
  k.memory.grow(Math.ceil((at.end - k.memory.buffer.byteLength) / 65536));
  const memory = k.memory.buffer as ArrayBuffer;
  fillWeights(memory, at.weights, n * matrix, type);
  for (let i = 0; i < n; i++) k.repack(at.weights + i * matrix, at.scratch, ROWS, columns, type.id);
  const x = new Float32Array(memory, at.x, most * columns).map((_, i) => Math.sin(1.37 * i) + 0.5);
  new Float32Array(memory, at.x, x.length).set(x);

  const input = PLAIN.has(type.name) ? at.x : at.xq;
  const prepare = (tokens: number) => k.quantize(at.xq, at.x, tokens, columns);
  const product = (i: number, tokens: number) =>
    k.matmul(at.out, at.weights + i * matrix, input, tokens, ROWS, columns, type.id, 0);
  new Uint32Array(memory, at.ids, ROWS).set(Array.from({ length: ROWS }, (_, i) => i));
  k.dequantize_rows(at.values, at.weights, at.ids, ROWS, ROWS, columns, type.id);
  const values = new Float32Array(memory, at.values, ROWS * columns);
  for (const tokens of [1, ...TOGETHER, nTokens]) {
    prepare(tokens);
    product(0, tokens);
    const out = new Float32Array(memory, at.out, tokens * ROWS);
    const error = relativeError(
      out.subarray((tokens - 1) * ROWS),
      values,
      x.subarray((tokens - 1) * columns),
    );
    if (!(error < TOLERANCE)) throw new Error(`${type.name}, ${tokens} tokens: the error is ${error}`);
  }

  const [decode, ...together] = [1, ...TOGETHER].map((tokens) => {
    prepare(tokens);
    return shortest(9, () => {
      for (let i = 0; i < n; i++) product(i, tokens);
    });
  });
  prepare(nTokens);
  const prefill = shortest(9, () => {
    for (let i = 0; i < 4; i++) product(i, nTokens);
  });
  return {
    type: type.name,
    decodeGBs: n * matrix / decode / 1e6,
    gains: [TOGETHER[0] * decode / together[0], TOGETHER[1] * decode / together[1]],
    prefillGMACs: 4 * ROWS * columns * nTokens / prefill / 1e6,
  };
}

/** Of `out` = `values · x`, as a root of squares. */
function relativeError(out: Float32Array, values: Float32Array, x: Float32Array): number {
  let error = 0, size = 0;
  const columns = values.length / ROWS;
  for (let r = 0; r < ROWS; r++) {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += values[r * columns + c] * x[c];
    error += (sum - out[r]) ** 2;
    size += sum ** 2;
  }
  return Math.sqrt(error / size);
}

if (import.meta.main) {
  const line = commandLine(import.meta.url);
  const { binary, types, tokens, json } = parseArgs(Deno.args, {
    string: ["binary", "types", "tokens"],
    boolean: ["json"],
    default: { binary: "relaxed", types: "", tokens: "64" },
    unknown: line.unknown,
  });
  const file = new URL(`../src/kernels/wasm/${binary}.wasm`, import.meta.url);
  const wasm = await WebAssembly.compile(await Deno.readFile(file));
  const machine = measureMachine(binary as Binary);
  const wanted = types === ""
    ? [...ggmlTypes.values()]
    : [...ggmlTypes.values()].filter((t) => types.split(",").includes(t.name));
  if (!json) {
    console.log(
      `${binary}: reading ${machine.readGBs.toFixed(1)} GB/s, byte dots ${
        machine.dotGMACs.toFixed(1)
      } GMAC/s`,
    );
    console.log(
      `${"type".padEnd(8)}${"decode GB/s".padStart(14)}${"of reading".padStart(12)}` +
        TOGETHER.map((tokens) => `${tokens} at once`.padStart(12)).join("") +
        `${`prefill ${tokens} GMAC/s`.padStart(22)}${"of dots".padStart(10)}`,
    );
  }
  const results: Result[] = [];
  for (const type of wanted) {
    const result = await measure(wasm, type, Number(tokens));
    results.push(result);
    if (json) continue;
    const percent = (part: number, whole: number) => `${Math.round(100 * part / whole)} %`;
    console.log(
      result.type.padEnd(8) + result.decodeGBs.toFixed(1).padStart(14) +
        percent(result.decodeGBs, machine.readGBs).padStart(12) +
        result.gains.map((gain) => `${gain.toFixed(2)} ×`.padStart(12)).join("") +
        result.prefillGMACs.toFixed(1).padStart(22) +
        percent(result.prefillGMACs, machine.dotGMACs).padStart(10),
    );
  }
  if (json) console.log(JSON.stringify({ binary, machine, nTokens: Number(tokens), results }));
}
