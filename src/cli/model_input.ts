/** The model of our own, for all who bring none. */
const BUNDLED = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);

/** Where the model lies: as given, or the bundled one. */
export function modelInput(given: string | undefined): string | URL {
  return given ?? BUNDLED;
}
