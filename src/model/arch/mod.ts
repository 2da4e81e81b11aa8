/**
 * The architectures by the name that `general.architecture` gives.
 *
 * @module
 */
import { UnsupportedModelError } from "../../error.ts";
import type { Metadata } from "../../gguf/mod.ts";
import type { Hparams } from "../../hparams.ts";
import type { TensorTable } from "../tensor_table.ts";
import { falcon } from "./falcon.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3 } from "./gemma3.ts";
import { gpt2 } from "./gpt2.ts";
import { gptj } from "./gptj.ts";
import { gptneox } from "./gptneox.ts";
import { type Architecture, Keys } from "./keys.ts";
import { llama } from "./llama.ts";
import { mpt } from "./mpt.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

export { defaultContext } from "./keys.ts";

const ARCHITECTURES = new Map<string, Architecture>(Object.entries({
  llama,
  qwen2,
  qwen3,
  gemma2,
  gemma3,
  phi3,
  gpt2,
  gptj,
  gptneox,
  mpt,
  falcon,
}));

/** Names of the architectures that run. */
export const architectures: readonly string[] = [...ARCHITECTURES.keys()];

/**
 * The hyperparameters of a file.
 *
 * @param context Tokens of context wanted; some models choose their rotary factors by it.
 * @throws {UnsupportedModelError} When the architecture or one of its values is not supported.
 * @throws {GgufError} When a key is missing or of the wrong type.
 */
export function readHparams(metadata: Metadata, tensors: TensorTable, context: number | undefined): Hparams {
  const name = metadata.string("general.architecture");
  const architecture = ARCHITECTURES.get(name);
  if (architecture === undefined) {
    throw new UnsupportedModelError("architecture", name, architectures);
  }
  return architecture(new Keys(name, metadata, tensors, context));
}
