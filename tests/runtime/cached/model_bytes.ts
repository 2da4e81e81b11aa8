/**
 * The bundled model as a file of several chunks: what follows the last tensor belongs to the file, and to nothing else.
 *
 * @module
 */
import { loadModel } from "../../../mod.ts";
import { generate } from "../../../src/generate.ts";
import { CHUNK_BYTES } from "../../../src/runtime/cached/model_store.ts";

const path = new URL("../../../models/locket-books-q8_0.gguf", import.meta.url);

/** Chunks of the file, the last one short. */
export const N_CHUNKS = 3;

/** 8.4 MB. */
export async function modelBytes(): Promise<Uint8Array<ArrayBuffer>> {
  const model = await Deno.readFile(path);
  const bytes = Uint8Array.from(
    { length: (N_CHUNKS - 1) * CHUNK_BYTES + 12_345 },
    (_, i) => i * 31 + (i >> 9),
  );
  bytes.set(model);
  return bytes;
}

/** What the model writes, from its own file. */
export async function expectedTokens(): Promise<readonly number[]> {
  const model = await loadModel(path, { context: 128, binary: "simd128" });
  const { tokens } = await generate(model, "The old house", { maxTokens: 10 }).result();
  model.dispose();
  return tokens;
}
