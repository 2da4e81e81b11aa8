import { checkSessionId, chunksOf, type SessionStore } from "./store.ts";

/** What is needed of a bucket's binding. */
export interface R2SessionBucket {
  get(key: string): Promise<{ readonly body: ReadableStream<Uint8Array> } | null>;
  put(key: string, value: Uint8Array): Promise<unknown>;
  delete(key: string): Promise<void>;
  createMultipartUpload(key: string): Promise<R2Upload>;
}

/** An object that is being put part by part; nobody sees it before it is complete. */
interface R2Upload {
  uploadPart(number: number, value: Uint8Array): Promise<{ partNumber: number; etag: string }>;
  complete(parts: { partNumber: number; etag: string }[]): Promise<unknown>;
  abort(): Promise<void>;
}

/** Least size of a part but the last. */
const PART_BYTES = 5 * 2 ** 20;

/**
 * Sessions in an R2 bucket, one object each, of any size: an object is replaced as a whole or not at all.
 *
 * @example
 * ```ts ignore
 * createServer(load, { sessions: r2Sessions(env.SESSIONS) });
 * ```
 */
export function r2Sessions(bucket: R2SessionBucket, prefix = "session/"): SessionStore {
  const key = (id: string) => prefix + checkSessionId(id);
  return {
    async load(id) {
      const object = await bucket.get(key(id));
      return object === null ? undefined : chunksOf(object.body);
    },
    async save(id, chunks) {
      const parts = chunks(PART_BYTES)[Symbol.asyncIterator]();
      try {
        const first = await parts.next();
        // what is not full is the last
        if (first.value.length < PART_BYTES) await bucket.put(key(id), first.value);
        else await inParts(await bucket.createMultipartUpload(key(id)), first.value, parts);
      } finally {
        await parts.return?.();
      }
    },
    async delete(id) {
      await bucket.delete(key(id));
    },
  };
}

async function inParts(
  upload: R2Upload,
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): Promise<void> {
  const parts = [];
  try {
    for (let chunk: Uint8Array | undefined = first; chunk !== undefined; chunk = (await rest.next()).value) {
      parts.push(await upload.uploadPart(parts.length + 1, chunk));
    }
    await upload.complete(parts);
  } catch (error) {
    await upload.abort().catch(() => {});
    throw error;
  }
}
