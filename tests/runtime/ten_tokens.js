/**
 * The same ten tokens everywhere: the deterministic binary, once the most likely tokens and once drawn with a seed. Runs
 * unchanged in every runtime; which entry point `@locket/locket` is, the runtime's export condition decides.
 *
 * @module
 */
import { generate, loadModel } from "@locket/locket";

/**
 * @param {import("@locket/locket").ModelInput} input The bundled model.
 * @param {object} more Further options of `loadModel`.
 */
export async function tenTokens(input, more = {}) {
  const model = await loadModel(input, {
    binary: "simd128",
    context: 128,
    ...more,
  });
  const greedy = await generate(model, "The old house", { maxTokens: 10 })
    .result();
  const drawn = await generate(model, "The old house", {
    maxTokens: 10,
    temperature: 0.8,
    topK: 40,
    seed: 7,
  }).result();
  const { memoryBytes, binary } = model;
  model.dispose();
  return {
    greedy: greedy.tokens,
    drawn: drawn.tokens,
    text: greedy.text,
    memoryBytes,
    binary,
  };
}
