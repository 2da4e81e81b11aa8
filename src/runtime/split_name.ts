/**
 * Names of split models: `name-00001-of-00003.gguf`, as tools that split GGUF files write them.
 *
 * @module
 */
import { SourceError } from "../error.ts";

const PATTERN = /-(\d{5})-of-(\d{5})(\.gguf)$/i;

/**
 * The name of file `index` (from 0) beside a file of the same split. File 0 of a name without number is that name.
 *
 * @param name A path, or the path of a URL.
 * @throws {SourceError} When the name does not say so many files.
 *
 * @example
 * ```ts
 * import { splitName } from "./split_name.ts";
 *
 * splitName("models/tiny-00001-of-00003.gguf", 2); // "models/tiny-00003-of-00003.gguf"
 * ```
 */
export function splitName(name: string, index: number): string {
  const match = PATTERN.exec(name);
  if (match === null && index === 0) return name;
  if (match === null) {
    throw new SourceError("the model is split, wanted a name like x-00001-of-00002.gguf", name);
  }
  const [ending, , count, extension] = match;
  if (index >= Number(count)) {
    throw new SourceError(`the name says ${Number(count)} files, wanted ${index + 1}`, name);
  }
  const number = String(index + 1).padStart(5, "0");
  return `${name.slice(0, -ending.length)}-${number}-of-${count}${extension}`;
}
