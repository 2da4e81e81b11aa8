/**
 * The binary `calibrate`: all kernels of `simd128`, and those that calibration takes beside them. What runs models never
 * loads it.
 *
 * @module
 */
import { BookKernels } from "./book_kernels.ts";
import type { CalibrationExports } from "./calibration_exports.ts";
import { GradientKernels } from "./gradient_kernels.ts";
import { Kernels } from "../../kernels/kernels.ts";
import { instantiate } from "../../kernels/load.ts";

/** Typed calls of one instance of it. */
export class CalibrationKernels extends Kernels {
  /** Those that reverse the steps of a forward pass. */
  readonly gradient: GradientKernels;
  /** Those that learn codebooks. */
  readonly book: BookKernels;

  constructor(exports: CalibrationExports) {
    super(exports);
    const raw = { ...exports };
    this.gradient = new GradientKernels(raw);
    this.book = new BookKernels(raw);
  }
}

/** Instantiates it with `totalBytes` of memory. @throws {KernelError} As `instantiateKernels` does. */
export async function instantiateCalibration(
  source: WebAssembly.Module | BufferSource,
  totalBytes: number,
): Promise<CalibrationKernels> {
  return new CalibrationKernels(await instantiate(source, totalBytes) as CalibrationExports);
}
