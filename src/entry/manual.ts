/**
 * Locket where no other entry point fits: the caller brings the kernels.
 *
 * @module
 */
import { loadModel as load, type LoadOptions, type Model } from "../model/engine.ts";
import { bestBinary, type Binary } from "../kernels/load.ts";
import { type KernelInput, readKernels } from "../runtime/kernel_modules_manual.ts";
import { type ModelInput, openSource } from "../runtime/open_source.ts";
import type { SourceOptions } from "../runtime/source_options.ts";

export * from "./common.ts";
export type { KernelInput };

/** How to load a model with kernels of one's own choice. */
export type ManualOptions =
  & Omit<LoadOptions, "kernels">
  & SourceOptions
  & {
    /** The files `simd128.wasm` and `relaxed.wasm` of this package; one of them is enough. */
    readonly kernels: Readonly<Partial<Record<Binary, KernelInput>>>;
  };

/**
 * Loads a GGUF model. Takes the faster of the binaries that are there and that the runtime can run.
 *
 * @throws {KernelError} When neither of them is given, or it can't be read.
 * @throws As `loadModel` in every other runtime does.
 */
export async function loadModel(input: ModelInput, { kernels, ...options }: ManualOptions): Promise<Model> {
  const binary = options.binary ??
    (kernels[bestBinary()] === undefined ? "simd128" : bestBinary());
  return await load(openSource(input, options), {
    ...options,
    binary,
    kernels: readKernels(kernels),
  });
}
