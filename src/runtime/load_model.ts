/**
 * Loading from anything that a model can be read from, with the kernels fetched from beside the code.
 *
 * @module
 */
import { loadModel as load, type LoadOptions, type Model } from "../model/engine.ts";
import { kernelModule } from "./kernel_modules_deno.ts";
import { type ModelInput, openSource } from "./open_source.ts";
import type { SourceOptions } from "./source_options.ts";

/** How to load a model: its memory, and how its bytes are had. */
export type LoadModelOptions =
  & Omit<LoadOptions, "kernels">
  & Partial<Pick<LoadOptions, "kernels">>
  & SourceOptions;

/**
 * Loads a GGUF model from a path, a URL, or bytes however they come. The memory takes its final size before the first
 * weight is read and never grows afterwards.
 *
 * @throws {GgufError} When the file can't be what it claims.
 * @throws {UnsupportedModelError} When it asks for something that is not supported.
 * @throws {MemoryBudgetError} When the plan passes `maxBytes`; nothing has been loaded then.
 * @throws {OptionError} When an option is out of bounds.
 * @throws {SourceError} When bytes can't be had.
 *
 * @example
 * ```ts
 * import { loadModel } from "@locket/locket";
 * import { assert } from "@std/assert";
 *
 * const model = await loadModel("models/locket-books-q8_0.gguf", { context: 256, maxBytes: 16e6 });
 * assert(model.memoryBytes <= 16e6);
 * model.dispose();
 * ```
 */
export async function loadModel(input: ModelInput, options: LoadModelOptions = {}): Promise<Model> {
  return await load(openSource(input, options), { kernels: kernelModule, ...options });
}
