/**
 * Files that a command writes: looked at before the work is done, and whole or not there after it.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { replaceFile } from "../runtime/session_files.ts";
import { isFolder, tryToWrite } from "./host.ts";

/** Bytes that are written at once. */
export const WRITTEN_AT_ONCE = 2 ** 20;

/**
 * Finds out, before the work is done, whether the file that an option names can be written.
 *
 * @param option Without the dashes.
 * @throws {OptionError} When it can't.
 */
export async function checkOutput(option: string, path: string): Promise<void> {
  if (await isFolder(path)) throw new OptionError(option, path, "a file: there is a folder of this name");
  await tryToWrite(path).catch((error) => refuse(option, path, error));
}

/**
 * Writes the file that an option names; what was there before stays until it is whole.
 *
 * @param option Without the dashes.
 * @throws {OptionError} When it can't be written.
 */
export async function writeOutput(
  option: string,
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  await replaceFile(path, chunks).catch((error) => refuse(option, path, error));
}

function refuse(option: string, path: string, error: Error): never {
  // behind the reason stands the name of the part that is renamed when it is whole
  const [why] = error.message.split(/[:,] (?:open|rename|writefile|remove) '/);
  throw new OptionError(option, path, `a file that can be written: ${why}`);
}
