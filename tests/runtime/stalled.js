/**
 * What loading says of a server that is silent. Runs unchanged in every runtime.
 *
 * @module
 */
import { loadModel } from "@locket/locket";

/** @param {string} url Of a model whose server accepts and does not go on. */
export async function stalled(url) {
  try {
    await loadModel(url, { stallMs: 200, backoffMs: 1 });
    return "loaded";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}
