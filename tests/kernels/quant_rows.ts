/**
 * The rows of tests/golden/quant in a kernel binary's memory, as loading a model puts weights there.
 *
 * @module
 */
import { GgmlType } from "../../src/gguf/mod.ts";
import type { Kernels } from "../../src/kernels/kernels.ts";
import { type Binary, instantiateKernels } from "../../src/kernels/load.ts";
import { quantizedBytes } from "../../src/kernels/sizes.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout, type Matrix } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { goldenBytes, goldenFloats, goldenJson } from "../golden/golden.ts";

/** Rows of one tensor type, with where they and their values begin in its files. */
export interface RowsCase {
  type: string;
  id: number;
  case: string;
  rows: number;
  columns: number;
  weightsAt: number;
  weightsBytes: number;
  valuesAt: number;
}

export const CASES = await goldenJson<RowsCase[]>("quant/cases.json");
export const BINARIES = ["simd128", "relaxed"] as const;

const FLOATS: readonly number[] = [GgmlType.F16, GgmlType.BF16];
const PLAN = placeRegions([{ name: "all", bytes: 1 << 18 }]);

/** Whether activations are rounded to int8 before they meet this type. */
export function isInt8(golden: RowsCase): boolean {
  return !FLOATS.includes(golden.id);
}

/** What the rows mean, `[rows, columns]`. */
export async function rowValues(golden: RowsCase): Promise<Float32Array> {
  const values = await goldenFloats(`quant/${golden.type}.f32`);
  return values.subarray(golden.valuesAt / 4, golden.valuesAt / 4 + golden.rows * golden.columns);
}

/** One case's rows, repacked, in one binary's memory. */
export class QuantRows {
  private constructor(
    readonly golden: RowsCase,
    private readonly kernels: Kernels,
    private readonly arena: Arena,
    private readonly w: Matrix,
    private readonly layout: Layout,
  ) {}

  static async load(binary: Binary, golden: RowsCase): Promise<QuantRows> {
    const kernels = await instantiateKernels(await kernelModule(binary), PLAN.totalBytes);
    const layout = new Layout(regionOffset(PLAN, "all"));
    const w: Matrix = {
      kind: "matrix",
      offset: layout.take(golden.weightsBytes),
      bytes: golden.weightsBytes,
      type: golden.id,
      nRows: golden.rows,
      nCols: golden.columns,
      int8: isInt8(golden),
    };
    const file = await goldenBytes(`quant/${golden.type}.bin`);
    const weights = file.subarray(golden.weightsAt, golden.weightsAt + golden.weightsBytes);
    new Uint8Array(kernels.buffer, w.offset, w.bytes).set(weights);
    kernels.repack(w, layout.block(4 * w.bytes / w.nRows));
    return new QuantRows(golden, kernels, new Arena(kernels.buffer, PLAN), w, layout);
  }

  /** The rows that `ids` name, as f32. */
  dequantize(ids: Uint32Array): Float32Array {
    const out = this.layout.floats(ids.length * this.golden.columns);
    const words = this.layout.words(ids.length);
    this.arena.words(words).set(ids);
    this.kernels.dequantizeRows(out, this.w, words, ids.length);
    return this.arena.floats(out);
  }

  /** x [T, columns] times the rows, `[T, rows]`. */
  multiply(x: Float32Array): Float32Array {
    const { rows, columns } = this.golden;
    const nTokens = x.length / columns;
    const input = this.layout.floats(x.length);
    this.arena.floats(input).set(x);
    const out = this.layout.floats(nTokens * rows);
    if (this.w.int8) {
      const codes = this.layout.block(nTokens * quantizedBytes(columns));
      this.kernels.quantize(codes, input, nTokens, columns);
      this.kernels.matmul(out, this.w, codes, nTokens);
    } else this.kernels.matmul(out, this.w, input, nTokens);
    return this.arena.floats(out);
  }
}
