/**
 * Files that are replaced as a whole, by `node:fs`, which Deno, Node and Bun have. No import: bundles for hosts without
 * files stay free of `node:` modules.
 *
 * @module
 */
import { OptionError } from "../error.ts";

interface FileHandle {
  write(bytes: Uint8Array): Promise<unknown>;
  read(buffer: Uint8Array, at: number, length: number): Promise<{ bytesRead: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

interface NodeFiles {
  open(path: string, flags: "r" | "wx"): Promise<FileHandle>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true }): Promise<void>;
  mkdir(path: string, options: { recursive: true }): Promise<unknown>;
  readdir(path: string): Promise<string[]>;
  stat(path: string): Promise<{ mtimeMs: number }>;
}

interface NodeProcess {
  getBuiltinModule?(name: string): NodeFiles;
}

/** Bytes read at once. */
const READ_BYTES = 2 ** 18;

/** @throws {OptionError} Where the host has no files. */
function files(): NodeFiles {
  const found = (globalThis as { process?: NodeProcess }).process?.getBuiltinModule?.("node:fs/promises");
  if (found === undefined) throw new OptionError("store", "files", "one that this host has");
  return found;
}

/** Writes a file beside its place and moves it there once it is on the disk: it is the old one or the new one, never part of one. */
export async function replaceFile(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const { open, rename, rm } = files();
  const part = `${path}.${crypto.randomUUID()}.part`;
  try {
    const file = await open(part, "wx");
    try {
      for await (const chunk of chunks) await writeAll(file, chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  const folder = await open(path.replace(/[^/\\]*$/, "") || ".", "r");
  // Not every system can sync a folder; the file itself is safe.
  await folder.sync().catch(() => {});
  await folder.close();
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let left = chunk; left.length > 0;) {
    const { bytesWritten } = await file.write(left) as { bytesWritten: number };
    left = left.subarray(bytesWritten);
  }
}

/** A file in chunks; `undefined` when there is none. */
export async function openChunks(path: string): Promise<AsyncGenerator<Uint8Array> | undefined> {
  const file = await files().open(path, "r").catch((error) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return file === undefined ? undefined : readChunks(file);
}

async function* readChunks(file: FileHandle): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const buffer = new Uint8Array(READ_BYTES);
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Deletes a file, if there is one. */
export async function deleteFile(path: string): Promise<void> {
  await files().rm(path, { force: true });
}

/** Makes a folder, and deletes parts of files in it whose writers have died: those untouched for an hour. */
export async function prepareFolder(folder: string): Promise<void> {
  const { mkdir, readdir, stat, rm } = files();
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    if (!name.endsWith(".part")) continue;
    const { mtimeMs } = await stat(folder + name).catch(() => ({ mtimeMs: Infinity }));
    if (Date.now() - mtimeMs > 3_600_000) await rm(folder + name, { force: true });
  }
}
