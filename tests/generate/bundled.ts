/** The bundled model, for tests that need a real one and no particular one. */
import { loadModel } from "../../src/runtime/load_model.ts";
import type { LoadModelOptions } from "../../src/runtime/load_model.ts";

export const BUNDLED = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);

/** Text that takes a few hundred tokens. */
export const LONG_TEXT = "The rain had stopped before the morning came, and nobody spoke of it again. "
  .repeat(30);

export function loadBundled(options: LoadModelOptions = {}) {
  return loadModel(BUNDLED, { context: 768, ...options });
}

/** Everything that an async iterable gives. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
