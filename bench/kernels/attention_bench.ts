/**
 * Attention over the KV cache: nanoseconds a slot, bytes of cache and multiply-adds a second, per storage type, in
 * decode (one token) and prefill (a tile of 16), over several depths. Shape: 9 heads, 3 KV heads, 64 wide.
 *
 *   deno run -A bench/kernels/attention_bench.ts [--binary relaxed] [--slots 512,2000,8000] [--types q8_0,f16]
 *                                                [--layers 30] [--kept] [--rotated]
 *
 * As many layers as a model has take turns, so that a cache of the processor holds what it would hold there. Every
 * answer is compared with a plain computation in float64 before it is timed. `--kept` keeps the logits.
 * `--rotated` reads keys that are stored unrotated; the table turns them by nothing, so that answers stay the same.
 */
import { parseArgs } from "@std/cli/parse-args";
import { measureMachine, shortest } from "./machine.ts";
import { commandLine } from "../usage.ts";

type Kernel = (...numbers: number[]) => number;

const SHAPE = { nHeads: 9, nKvHeads: 3, headDim: 64 };
const TYPES: Record<string, number> = { f32: 0, f16: 1, q4_0: 2, q8_0: 8 };
/** Largest error of an output accepted, for inputs of variance 1: the rounding of the cache. */
const TOLERANCE: Record<string, number> = { f32: 1e-5, f16: 1e-3, q8_0: 2e-2, q4_0: 2e-1 };
const TILE = 16;

/** Roughly normal numbers of variance 1, always the same. */
function noise(n: number): Float32Array {
  let state = 12345;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from(
    { length: n },
    () => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3),
  );
}

/** Attention of the query head `head` of the last of `nSlots` tokens, in float64. */
function expected(q: Float32Array, k: Float32Array, v: Float32Array, nSlots: number, head: number): number[] {
  const { nHeads, nKvHeads, headDim } = SHAPE;
  const kvHead = Math.floor(head / (nHeads / nKvHeads));
  const row = (slot: number) => (slot * nKvHeads + kvHead) * headDim;
  const logits = Array.from({ length: nSlots }, (_, slot) => {
    let dot = 0;
    for (let i = 0; i < headDim; i++) dot += q[head * headDim + i] * k[row(slot) + i];
    return dot / Math.sqrt(headDim);
  });
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const probs = logits.map((x) => Math.exp(x - max));
  const sum = probs.reduce((a, b) => a + b, 0);
  return Array.from(
    { length: headDim },
    (_, i) => probs.reduce((s, p, slot) => s + p * v[row(slot) + i], 0) / sum,
  );
}

/** Memory handed out from `start` on. */
class Heap {
  constructor(public end: number) {}
  take(bytes: number): number {
    const at = this.end;
    this.end = (at + bytes + 15) & ~15;
    return at;
  }
}

async function main() {
  const line = commandLine(import.meta.url);
  const args = parseArgs(Deno.args, {
    string: ["binary", "slots", "types", "layers"],
    boolean: ["kept", "rotated"],
    default: { binary: "relaxed", slots: "512,2000,8000", types: "q8_0,q4_0,f16,f32", layers: "30" },
    unknown: line.unknown,
  });
  const file = new URL(`../../src/kernels/wasm/${args.binary}.wasm`, import.meta.url);
  const instance = await WebAssembly.instantiate(await WebAssembly.compile(await Deno.readFile(file)));
  const kernels = instance.exports as unknown as Record<string, Kernel>;
  const memory = instance.exports.memory as WebAssembly.Memory;
  const machine = measureMachine(args.binary as "relaxed" | "simd128");
  console.log(
    `${args.binary}: reads ${machine.readGBs.toFixed(1)} GB/s, ${
      machine.dotGMACs.toFixed(1)
    } GMAC/s of byte dots`,
  );

  const { nHeads, nKvHeads, headDim } = SHAPE;
  const maxSlots = Math.max(...args.slots.split(",").map(Number));
  const [q, k, v] = [
    noise(TILE * nHeads * headDim),
    noise(maxSlots * nKvHeads * headDim),
    noise(maxSlots * nKvHeads * headDim),
  ];
  for (const type of args.types.split(",")) {
    for (const nSlots of args.slots.split(",").map(Number)) {
      const id = TYPES[type];
      const capacity = Math.ceil(nSlots / 32) * 32;
      const nLayers = Number(args.layers);
      const heap = new Heap(kernels.reserved_bytes() + 1024);
      const put = (values: Float32Array | Uint32Array) => ({ at: heap.take(values.byteLength), values });
      const inputs = [
        put(q),
        put(k.subarray(0, nSlots * nKvHeads * headDim)),
        put(v.subarray(0, nSlots * nKvHeads * headDim)),
        put(Uint32Array.from({ length: nSlots }, (_, i) => i)),
      ];
      const [qAt, kAt, vAt, positionsAt] = inputs.map((input) => input.at);
      const outAt = heap.take(4 * TILE * nHeads * headDim);
      const lseAt = heap.take(4 * TILE * nHeads);
      const scoresAt = args.kept ? heap.take(4 * TILE * nHeads * capacity) : 0;
      const tableAt = args.rotated ? heap.take(4 * capacity * headDim) : 0;
      const cacheBytes = kernels.kv_bytes(capacity, nKvHeads, headDim, id, 0);
      const valueBytes = kernels.kv_bytes(capacity, nKvHeads, headDim, id, 1);
      const layers = Array.from({ length: nLayers }, () => ({
        keys: heap.take(cacheBytes),
        values: heap.take(valueBytes),
        slots: heap.take(nKvHeads * (16 + 4 * capacity)),
      }));
      const missing = heap.end - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / 65536));
      for (const { at, values } of inputs) {
        new Uint8Array(memory.buffer).set(new Uint8Array(values.buffer, 0, values.byteLength), at);
      }
      if (args.rotated) {
        const pairs = { length: capacity * headDim };
        new Float32Array(memory.buffer, tableAt, pairs.length).set(
          Float32Array.from(pairs, (_, i) => 1 - i % 2),
        );
      }
      let appendMs = 0;
      for (const { keys, values, slots } of layers) {
        kernels.kv_reset(slots, nKvHeads, capacity);
        const start = performance.now();
        kernels.kv_append(
          keys,
          values,
          slots,
          0,
          kAt,
          vAt,
          positionsAt,
          nSlots,
          nKvHeads,
          headDim,
          headDim,
          capacity,
          id,
          id,
        );
        appendMs += performance.now() - start;
      }
      const attend = (nTokens: number) => {
        const positions = positionsAt + 4 * (nSlots - nTokens);
        for (const { keys, values, slots } of layers) {
          // deno-fmt-ignore
          kernels.attend(
            outAt, scoresAt, lseAt, qAt, keys, values, slots, positions, 0, 0, 0, 0, tableAt, 0,
            nTokens, nHeads, nKvHeads, headDim, headDim, capacity, capacity, headDim, id, id, 0, 1 / Math.sqrt(headDim), 0, 0,
          );
        }
      };
      for (const nTokens of [1, TILE]) {
        attend(nTokens);
        const out = new Float32Array(memory.buffer, outAt, nTokens * nHeads * headDim);
        const wrong = [0, 4, 8].some((head) => {
          const last = (nTokens - 1) * nHeads * headDim;
          const wanted = expected(q.subarray(last), k, v, nSlots, head);
          return wanted.some((x, i) => !(Math.abs(out[last + head * headDim + i] - x) < TOLERANCE[type]));
        });
        if (wrong) throw new Error(`${type}: wrong answer for ${nTokens} tokens and ${nSlots} slots`);
        const ms = shortest(8, () => attend(nTokens)) / nLayers;
        const products = nTokens * nHeads * nSlots * headDim * 2;
        console.log(
          `${type.padEnd(5)} ${String(nSlots).padStart(5)} slots ${String(nTokens).padStart(2)} tokens: ` +
            `${(ms * 1e6 / (nTokens * nHeads * nSlots)).toFixed(2)} ns/slot/head, ` +
            `${((cacheBytes + valueBytes) / ms / 1e6).toFixed(1)} GB/s, ${
              (products / ms / 1e6).toFixed(1)
            } GMAC/s, ` +
            `${(ms * nLayers).toFixed(2)} ms for ${nLayers} layers, append ${
              (appendMs * 1e6 / nSlots / nLayers).toFixed(0)
            } ns/token`,
        );
      }
    }
  }
}

if (import.meta.main) await main();
