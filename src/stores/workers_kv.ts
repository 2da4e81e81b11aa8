/**
 * Sessions in Workers KV. A stream that fails half way would leave half a value, so values are written whole:
 *
 * ```text
 * PREFIX ID                   JSON: the latest version and the one before it
 * PREFIX ID / VERSION / i     a chunk; versions begin with the time at which they were begun
 * ```
 *
 * @module
 */
import { SnapshotError } from "../error.ts";
import { checkSessionId, type SessionStore } from "./store.ts";

/** What is needed of a Workers KV binding. */
export interface SessionKvNamespace {
  get(key: string, type: "text"): Promise<string | null>;
  get(key: string, type: "arrayBuffer"): Promise<ArrayBuffer | null>;
  put(key: string, value: string | Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
  list(options: { prefix: string; cursor?: string }): Promise<{
    readonly keys: readonly { readonly name: string }[];
    readonly list_complete: boolean;
    readonly cursor?: string;
  }>;
}

interface Version {
  readonly version: string;
  readonly count: number;
}

interface Record {
  readonly latest: Version;
  /** Other places may still see it as the latest for a minute. */
  readonly before?: Version;
}

/** A value may have 25 MiB; an isolate has no room for copies of that size. */
const VALUE_BYTES = 2 ** 22;

/**
 * Sessions in Workers KV, for conversations that mostly stay in one place: another one may see the last snapshot but one for
 * a minute, and then computes more of the prompt.
 *
 * @example
 * ```ts ignore
 * createServer(load, { sessions: workersKvSessions(env.SESSIONS) });
 * ```
 */
export function workersKvSessions(namespace: SessionKvNamespace, prefix = "session:"): SessionStore {
  const read = async (key: string): Promise<Record | undefined> => {
    const text = await namespace.get(key, "text");
    return text === null ? undefined : JSON.parse(text);
  };
  const chunkKey = (key: string, version: string, i: number) => `${key}/${version}/${i}`;

  /** Deletes chunks that are of neither version of a record and older than both. */
  const sweep = async (key: string, record: Record | undefined): Promise<void> => {
    const { latest, before } = record ?? {};
    const oldest = before ?? latest;
    let cursor: string | undefined;
    do {
      const page = await namespace.list({ prefix: `${key}/`, cursor });
      for (const { name } of page.keys) {
        const version = name.split("/").at(-2)!;
        if (oldest === undefined || version < oldest.version) await namespace.delete(name);
      }
      cursor = page.list_complete ? undefined : page.cursor;
    } while (cursor !== undefined);
  };

  return {
    async load(id) {
      const key = prefix + checkSessionId(id);
      const record = await read(key);
      if (record === undefined) return undefined;
      const { version, count } = record.latest;
      return (async function* () {
        for (let i = 0; i < count; i++) {
          const value = await namespace.get(chunkKey(key, version, i), "arrayBuffer");
          if (value === null) throw new SnapshotError(`session ${id}`, "not all there", "all of its chunks");
          yield new Uint8Array(value);
          // frees it now: an isolate that is nearly full has no room for garbage of the snapshot's size
          value.transfer(0);
        }
      })();
    },

    async save(id, chunks) {
      const key = prefix + checkSessionId(id);
      const version = `${Date.now().toString(36).padStart(9, "0")}-${crypto.randomUUID()}`;
      let count = 0;
      for await (const chunk of chunks(VALUE_BYTES)) {
        await namespace.put(chunkKey(key, version, count++), chunk);
      }
      const before = (await read(key))?.latest;
      const record = { latest: { version, count }, before };
      await namespace.put(key, JSON.stringify(record));
      await sweep(key, record);
    },

    async delete(id) {
      const key = prefix + checkSessionId(id);
      await namespace.delete(key);
      await sweep(key, undefined);
    },
  };
}
