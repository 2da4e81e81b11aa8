/**
 * Models split over several files (`-00001-of-0000N.gguf`): each file says which one it is, the first says how many
 * there are and how many tensors they hold together.
 *
 * @module
 */
import { GgufError, SourceError } from "../error.ts";
import type { Source } from "./source.ts";
import type { ByteReader } from "./byte_reader.ts";
import type { Metadata } from "./metadata.ts";
import type { TensorInfo } from "./tensor.ts";

/** A bound for a count that lies: names have five digits, real models some tens of files. */
const MAX_FILES = 9999;

/**
 * Files of the model, from the metadata of its first one.
 * @throws {GgufError} When the count makes no sense. @throws {SourceError} When another number was given.
 */
export function countFiles(source: Source, metadata: Metadata): number {
  const key = "split.count";
  // tools that join files leave a count of 0
  const nFiles = metadata.number(key, 1) || 1;
  if (!Number.isInteger(nFiles) || nFiles < 1 || nFiles > MAX_FILES) {
    throw new GgufError(
      `${source.name}: ${nFiles} files, wanted 1 to ${MAX_FILES}`,
      key,
      metadata.offset(key),
    );
  }
  if (source.count !== undefined && source.count !== nFiles) {
    throw new SourceError(`the model has ${nFiles} files, ${source.count} given`, source.name);
  }
  return nFiles;
}

/** @throws {GgufError} When a file is not number `index` (from 0) of `nFiles`. */
export function checkSplit(reader: ByteReader, metadata: Metadata, index: number, nFiles: number): void {
  const expect = (key: string, wanted: number) => {
    const found = metadata.number(key);
    if (found !== wanted) {
      throw reader.error(`${key} is ${found}, wanted ${wanted}`, key, metadata.offset(key));
    }
  };
  expect("split.count", nFiles);
  expect("split.no", index);
}

/** @throws {GgufError} When the files together do not hold the tensors that the first one announces. */
export function checkTensors(metadata: Metadata, tensors: readonly TensorInfo[]): void {
  const names = new Set<string>();
  for (const { name, file, offset } of tensors) {
    const field = `file ${file}: tensors`;
    if (names.has(name)) throw new GgufError(`${JSON.stringify(name)} is in two files`, field, offset);
    names.add(name);
  }
  const key = "split.tensors.count";
  const count = metadata.number(key, tensors.length);
  if (count === tensors.length) return;
  throw new GgufError(`${count} tensors, but the files have ${tensors.length}`, key, metadata.offset(key));
}
