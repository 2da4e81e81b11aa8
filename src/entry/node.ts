/**
 * Locket in Node 22 or later, and in Bun; the kernels are read from beside the code.
 *
 * @module
 */
import { loadModel as load, type Model } from "../model/engine.ts";
import { kernelModule } from "../runtime/kernel_modules_node.ts";
import type { LoadModelOptions } from "../runtime/load_model.ts";
import { checkNode } from "../runtime/node.ts";
import { type ModelInput, openSource } from "../runtime/open_source.ts";

export * from "./common.ts";
export { fileSessions } from "../stores/files.ts";

/**
 * Loads a GGUF model. Options, errors and result are those of `loadModel` in every other runtime.
 *
 * @throws {OptionError} In a Node that is too old, too.
 */
export async function loadModel(input: ModelInput, options: LoadModelOptions = {}): Promise<Model> {
  checkNode();
  return await load(openSource(input, options), { kernels: kernelModule, ...options });
}
