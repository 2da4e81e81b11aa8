import { assert, assertEquals } from "@std/assert";
import { BINARIES, CASES, isInt8, QuantRows, rowValues } from "./quant_rows.ts";

/** Columns that share a scale once rounded to int8. */
const BLOCK = 32;
/** BF16 reaches the end of f32's range, where products overflow. */
const LARGE = 1e36;

function activations(nTokens: number, columns: number): Float32Array {
  return Float32Array.from({ length: nTokens * columns }, (_, i) => Math.sin(i * 1.7) * (1 + i % 5));
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

for (const golden of CASES) {
  const { rows, columns } = golden;
  const name = `${golden.type} ${golden.case} rows [${rows}, ${columns}]`;

  for (const binary of BINARIES) {
    Deno.test(`dequantizeRows() gives the reference's values exactly: ${name} on ${binary}`, async () => {
      const values = await rowValues(golden);
      // backwards, so that a row is found by its id and not by its turn
      const order = Uint32Array.from({ length: rows }, (_, i) => rows - 1 - i);
      const found = (await QuantRows.load(binary, golden)).dequantize(order);
      const wrong = order.reduce((n, row, turn) => {
        const wanted = values.subarray(row * columns, (row + 1) * columns);
        return n + wanted.filter((value, i) => value !== found[turn * columns + i]).length;
      }, 0);
      assertEquals(wrong, 0, `${wrong} of ${values.length} values differ`);
    });

    for (const nTokens of [1, 5]) {
      Deno.test(`matmul() of ${nTokens} is within its activations' rounding: ${name} on ${binary}`, async () => {
        const values = await rowValues(golden);
        const x = activations(nTokens, columns);
        const found = (await QuantRows.load(binary, golden)).multiply(x);
        for (let t = 0; t < nTokens; t++) {
          for (let r = 0; r < rows; r++) {
            const row = values.subarray(r * columns, (r + 1) * columns);
            if (row.some((w) => Math.abs(w) > LARGE)) continue;
            const { exact, bound } = product(row, x.subarray(t * columns, (t + 1) * columns), isInt8(golden));
            const error = Math.abs(found[t * rows + r] - exact);
            assert(error <= bound, `token ${t}, row ${r}: off by ${error}, at most ${bound} allowed`);
          }
        }
      });
    }
  }

  if (golden.case === "quantised") {
    Deno.test(`matmul() of simd128 and relaxed agree to a millionth: ${golden.type}`, async () => {
      const x = activations(7, columns);
      const [simd128, relaxed] = await Promise.all(
        BINARIES.map(async (binary) => (await QuantRows.load(binary, golden)).multiply(x)),
      );
      const scale = Math.max(...simd128.map(Math.abs));
      simd128.forEach((value, i) => assert(Math.abs(value - relaxed[i]) <= 1e-6 * scale));
    });
  }
}
