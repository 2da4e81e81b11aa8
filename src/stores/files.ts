import { deleteFile, openChunks, prepareFolder, replaceFile } from "../runtime/session_files.ts";
import { checkSessionId, type SessionStore } from "./store.ts";

const CHUNK_BYTES = 2 ** 20;

/**
 * Sessions in files of a folder, one each. A file is written beside its place, brought to the disk and moved there.
 *
 * @param folder Its path; made when it does not exist.
 *
 * @example
 * ```ts ignore
 * createServer(load, { sessions: fileSessions("sessions") });
 * ```
 */
export function fileSessions(folder: string): SessionStore {
  const inside = folder.endsWith("/") ? folder : `${folder}/`;
  let prepared: Promise<void> | undefined;
  const path = async (id: string) => {
    const name = `${encodeURIComponent(checkSessionId(id))}.session`;
    await (prepared ??= prepareFolder(inside));
    return inside + name;
  };
  return {
    load: async (id) => await openChunks(await path(id)),
    save: async (id, chunks) => await replaceFile(await path(id), chunks(CHUNK_BYTES)),
    delete: async (id) => await deleteFile(await path(id)),
  };
}
