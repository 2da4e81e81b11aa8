/**
 * Models in the origin's private file system of a browser.
 *
 * @module
 */
import { SourceError } from "../../error.ts";
import type { ModelStore } from "./model_store.ts";

/** Writes in place, at once; Web Workers have it. */
interface SyncAccessHandle {
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

interface FileHandle {
  getFile(): Promise<Blob>;
  createWritable(): Promise<{ write(bytes: Uint8Array): Promise<void>; close(): Promise<void> }>;
  createSyncAccessHandle?(): Promise<SyncAccessHandle>;
}

interface Directory {
  getFileHandle(name: string, options?: { create: boolean }): Promise<FileHandle>;
  getDirectoryHandle(name: string, options: { create: boolean }): Promise<Directory>;
  removeEntry(name: string): Promise<void>;
}

/** The browser's part that is needed here; TypeScript's own declarations of it need the library of browsers. */
interface BrowserGlobals {
  navigator: { storage: { getDirectory(): Promise<Directory> } };
}

/**
 * A store in a folder of the private file system; files of 4 MiB. Fast in a Web Worker, by sync access handles;
 * elsewhere by writable streams. Ask for `navigator.storage.persist()` where the browser should not clear it by itself.
 *
 * @throws {SourceError} When the browser has none, e.g. in a private window.
 *
 * @example
 * ```ts ignore
 * const model = await loadModel(cachedSource(url, await opfsStore()));
 * ```
 */
export async function opfsStore(folder = "locket-models"): Promise<ModelStore> {
  const directory = await open(folder);
  return {
    async get(name) {
      const file = await directory.getFileHandle(name).then((handle) => handle.getFile(), nothing);
      return file?.stream();
    },
    async put(name, bytes) {
      const handle = await directory.getFileHandle(name, { create: true });
      await write(handle, bytes);
    },
    async delete(name) {
      await directory.removeEntry(name).catch(nothing);
    },
  };
}

async function open(folder: string): Promise<Directory> {
  try {
    const root = await (globalThis as unknown as BrowserGlobals).navigator.storage.getDirectory();
    return await root.getDirectoryHandle(folder, { create: true });
  } catch (cause) {
    throw new SourceError("this browser has no private file system here", folder, { cause });
  }
}

async function write(handle: FileHandle, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const access = await handle.createSyncAccessHandle?.();
  if (access === undefined) {
    const writable = await handle.createWritable();
    await writable.write(bytes);
    await writable.close();
    return;
  }
  try {
    access.truncate(0);
    const written = access.write(bytes, { at: 0 });
    if (written !== bytes.length) throw new Error(`${written} of ${bytes.length} bytes were written`);
    access.flush();
  } finally {
    access.close();
  }
}

function nothing(error: Error): undefined {
  if (error.name !== "NotFoundError") throw error;
}
