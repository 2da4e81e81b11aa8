/**
 * Loads a model through a store and writes ten tokens: the same in every runtime.
 *
 * @module
 */
import { cachedSource, generate, loadModel } from "@locket/locket";

/**
 * @param {string} url The model's.
 * @param {import("@locket/locket").ModelStore} store Where it is kept.
 */
export async function loadCached(url, store) {
  const source = cachedSource(url, store, { tries: 1, stallMs: 60_000 });
  const model = await loadModel(source, { context: 128, binary: "simd128" });
  const { tokens } = await generate(model, "The old house", { maxTokens: 10 }).result();
  model.dispose();
  return { tokens, ...source.files[0] };
}
