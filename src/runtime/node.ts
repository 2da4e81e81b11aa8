/**
 * Files as Node and Bun open them, from Node 22 on. `getBuiltinModule` instead of an import: bundles for hosts
 * without files stay free of `node:` modules.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { RangeHandle } from "./range_file.ts";

interface NodeFile {
  stat(): Promise<{ size: number }>;
  read(buffer: Uint8Array, at: number, length: number, position: number): Promise<{ bytesRead: number }>;
  close(): Promise<void>;
}

interface NodeFiles {
  open(path: string | URL, flags: "r"): Promise<NodeFile>;
  readFile(path: string | URL): Promise<Uint8Array<ArrayBuffer>>;
}

interface NodeProcess {
  readonly versions: { readonly node: string };
  getBuiltinModule?(name: string): NodeFiles;
}

/** The oldest Node that has what is used here. */
const OLDEST_NODE = 22;

/** Bytes of a handle's only buffer. */
const BUFFER_BYTES = 2 ** 18;

const process = () => (globalThis as { process?: NodeProcess }).process;
const files = () => process()!.getBuiltinModule!("node:fs/promises");

/** @throws {OptionError} In a Node that is too old. */
export function checkNode(): void {
  const { node } = process()!.versions;
  if (parseInt(node) < OLDEST_NODE) throw new OptionError("Node", node, `${OLDEST_NODE} or later`);
}

/** Whether this host has Node's files. */
export function hasNodeFiles(): boolean {
  return process()?.getBuiltinModule !== undefined;
}

/** Opens a file for reading. */
export async function openNodeFile(path: string | URL): Promise<RangeHandle> {
  const file = await files().open(path, "r");
  const buffer = new Uint8Array(BUFFER_BYTES);
  return {
    size: (await file.stat()).size,
    async read(offset, length) {
      const { bytesRead } = await file.read(
        buffer,
        0,
        Math.min(length, buffer.length),
        offset,
      );
      return buffer.subarray(0, bytesRead);
    },
    close: () => void file.close(),
  };
}

/** A whole file. */
export function readNodeFile(
  path: string | URL,
): Promise<Uint8Array<ArrayBuffer>> {
  return files().readFile(path);
}
