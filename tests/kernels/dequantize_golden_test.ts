import { assert, assertEquals } from "@std/assert";
import { GgmlType } from "../../src/gguf/mod.ts";
import { instantiateKernels } from "../../src/kernels/load.ts";
import { quantizedBytes } from "../../src/kernels/sizes.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout, type Matrix } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";

/** A case of tests/golden/quant/cases.json: rows of one tensor type, with where they and their values begin. */
interface Case {
  type: string;
  id: number;
  case: string;
  rows: number;
  columns: number;
  weightsAt: number;
  weightsBytes: number;
  valuesAt: number;
}

const GOLDEN = new URL("../golden/quant/", import.meta.url);
const BLOCK = 32;
const FLOATS: readonly number[] = [GgmlType.F16, GgmlType.BF16];

const cases: Case[] = JSON.parse(await Deno.readTextFile(new URL("cases.json", GOLDEN)));

/** The rows as they stand in a file, and what they mean. */
async function read(golden: Case): Promise<{ weights: Uint8Array; values: Float32Array }> {
  const weights = await Deno.readFile(new URL(`${golden.type}.bin`, GOLDEN));
  const values = await Deno.readFile(new URL(`${golden.type}.f32`, GOLDEN));
  return {
    weights: weights.subarray(golden.weightsAt, golden.weightsAt + golden.weightsBytes),
    values: new Float32Array(values.buffer, golden.valuesAt, golden.rows * golden.columns),
  };
}

const plan = placeRegions([{ name: "all", bytes: 1 << 18 }]);

for (const binary of ["simd128", "relaxed"] as const) {
  const kernels = await instantiateKernels(await kernelModule(binary), plan.totalBytes);
  const arena = new Arena(kernels.buffer, plan);

  /** Lays out and repacks a case's weights as loading a model does. */
  const load = (golden: Case, weights: Uint8Array) => {
    const layout = new Layout(regionOffset(plan, "all"));
    const w: Matrix = {
      kind: "matrix",
      offset: layout.take(weights.length),
      bytes: weights.length,
      type: golden.id,
      nRows: golden.rows,
      nCols: golden.columns,
      int8: !FLOATS.includes(golden.id),
    };
    new Uint8Array(kernels.buffer, w.offset, w.bytes).set(weights);
    kernels.repack(w, layout.block(4 * w.bytes / w.nRows));
    return { w, layout };
  };

  for (const golden of cases) {
    const name = `${golden.type} ${golden.case} rows [${golden.rows}, ${golden.columns}] on ${binary}`;

    Deno.test(`dequantizeRows() gives the reference's values exactly: ${name}`, async () => {
      const { weights, values } = await read(golden);
      const { w, layout } = load(golden, weights);
      const out = layout.floats(values.length);
      const ids = layout.words(golden.rows);
      // backwards, so that a row is found by its id and not by its turn
      const order = Uint32Array.from({ length: golden.rows }, (_, i) => golden.rows - 1 - i);
      arena.words(ids).set(order);
      kernels.dequantizeRows(out, w, ids, golden.rows);
      const found = arena.floats(out);
      const wrong = order.reduce((n, row, turn) => {
        const want = values.subarray(row * golden.columns, (row + 1) * golden.columns);
        return n + want.filter((value, i) => value !== found[turn * golden.columns + i]).length;
      }, 0);
      assertEquals(wrong, 0, `${wrong} of ${values.length} values differ`);
    });

    for (const nTokens of [1, 5]) {
      Deno.test(`matmul() of ${nTokens} is within the rounding of its activations: ${name}`, async () => {
        const { weights, values } = await read(golden);
        const { w, layout } = load(golden, weights);
        const { rows, columns } = golden;
        const x = layout.floats(nTokens * columns);
        const xs = arena.floats(x);
        xs.forEach((_, i) => xs[i] = Math.sin(i * 1.7) * (1 + i % 5));
        const out = layout.floats(nTokens * rows);
        if (w.int8) {
          const xq = layout.block(nTokens * quantizedBytes(columns));
          kernels.quantize(xq, x, nTokens, columns);
          kernels.matmul(out, w, xq, nTokens);
        } else kernels.matmul(out, w, x, nTokens);
        const found = arena.floats(out);
        for (let t = 0; t < nTokens; t++) {
          for (let r = 0; r < rows; r++) {
            // BF16 reaches the end of f32's range, where products overflow
            if (values.subarray(r * columns, (r + 1) * columns).some((w) => Math.abs(w) > 1e36)) continue;
            const { exact, bound } = product(
              values.subarray(r * columns, (r + 1) * columns),
              xs.subarray(t * columns, (t + 1) * columns),
              w.int8,
            );
            const error = Math.abs(found[t * rows + r] - exact);
            assert(error <= bound, `token ${t}, row ${r}: off by ${error}, at most ${bound} allowed`);
          }
        }
      });
    }
  }
}

/**
 * Σ w x in double precision and the largest error it may have: that of f32 sums, and with `int8` half a step, a 254th
 * of the largest value of its block, for every activation.
 */
function product(w: Float32Array, x: Float32Array, int8: boolean): { exact: number; bound: number } {
  let exact = 0;
  let bound = 0;
  for (let start = 0; start < x.length; start += BLOCK) {
    const block = x.subarray(start, start + BLOCK);
    const halfStep = int8 ? Math.max(...block.map(Math.abs)) / 254 : 0;
    block.forEach((value, i) => {
      exact += w[start + i] * value;
      bound += Math.abs(w[start + i]) * (halfStep * 1.001 + 2e-6 * Math.abs(value));
    });
  }
  return { exact, bound };
}
