/**
 * Planning from anything that a model can be read from.
 *
 * @module
 */
import { openModel } from "../gguf/mod.ts";
import { type ModelPlan, planModel as plan, type PlanOptions } from "../model/plan.ts";
import { type ModelInput, openSource } from "./open_source.ts";
import type { SourceOptions } from "./source_options.ts";

/**
 * The memory that a model would take, region by region, from its header alone.
 *
 * @throws {GgufError} When the file can't be what it claims.
 * @throws {UnsupportedModelError} When it asks for something that is not supported.
 * @throws {MemoryBudgetError} When the plan passes `maxBytes`.
 * @throws {OptionError} When an option is out of bounds.
 * @throws {SourceError} When bytes can't be had.
 *
 * @example
 * ```ts
 * import { planModel } from "@locket/locket";
 *
 * const { regions, totalBytes } = await planModel("models/locket-books-q8_0.gguf", { context: 1024 });
 * for (const { name, bytes } of regions) console.log(name, bytes);
 * console.log(totalBytes);
 * ```
 */
export async function planModel(
  input: ModelInput,
  options: PlanOptions & SourceOptions = {},
): Promise<ModelPlan> {
  const file = await openModel(openSource(input, options));
  file.close();
  return plan(file.model, options);
}
