/**
 * Sessions in Durable Objects: one object a conversation, its snapshot in the object's own SQLite. Whichever isolate
 * answers a conversation next finds it there.
 *
 * @module
 */
import { SnapshotError } from "../error.ts";
import { identityStream } from "../runtime/identity_stream.ts";
import { checkSessionId, chunksOf, type SessionStore } from "./store.ts";

/** What is needed of a binding of Durable Objects. */
export interface SessionNamespace {
  idFromName(name: string): unknown;
  // deno-lint-ignore no-explicit-any
  get(id: any): { fetch(url: string, init?: RequestInit): Promise<Response> };
}

/** What is needed of an object's storage. */
export interface SessionObjectState {
  readonly storage: {
    readonly sql: { exec(query: string, ...values: unknown[]): Iterable<Record<string, unknown>> };
    transactionSync<T>(work: () => T): T;
  };
}

/** Bytes of a row: a blob may have 2 MB. */
const ROW_BYTES = 1.9e6;

/** Bytes on their way from isolate to object. */
const CHUNK_BYTES = 2 ** 18;

const HERE = "https://session/";

/**
 * Sessions in Durable Objects of the class {@link SessionObject}.
 *
 * @example
 * ```ts ignore
 * export { SessionObject } from "@locket/locket";
 * createServer(load, { sessions: durableObjectSessions(env.SESSIONS) });
 * ```
 */
export function durableObjectSessions(namespace: SessionNamespace): SessionStore {
  const ask = async (id: string, path: string, init?: RequestInit): Promise<Response> => {
    const object = namespace.get(namespace.idFromName(checkSessionId(id)));
    const response = await object.fetch(HERE + path, init);
    if (response.ok || response.status === 404) return response;
    throw new SnapshotError(`session ${id}`, await response.text(), "an answer of its Durable Object");
  };
  return {
    async load(id) {
      const response = await ask(id, "");
      if (response.ok) return chunksOf(response.body!);
      await response.body?.cancel();
    },
    async save(id, chunks) {
      const { readable, writable } = identityStream();
      const sending = send(chunks(CHUNK_BYTES), writable.getWriter());
      // awaited below, after the answer
      sending.catch(() => {});
      const put = await ask(id, "", { method: "PUT", body: readable });
      const version = await put.text();
      // A body that failed may look like one that has come to its end: only the size makes it the latest.
      const bytes = await sending;
      const done = await ask(id, `${version}?bytes=${bytes}`, { method: "POST" });
      await done.body?.cancel();
    },
    async delete(id) {
      await (await ask(id, "", { method: "DELETE" })).body?.cancel();
    },
  };
}

/** @returns How many bytes have been sent. */
async function send(
  chunks: AsyncIterable<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<number> {
  let bytes = 0;
  try {
    for await (const chunk of chunks) {
      await writer.write(chunk);
      bytes += chunk.length;
    }
    await writer.close();
    return bytes;
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  }
}

/** The Durable Object of one conversation; to be exported by the Worker and listed in `new_sqlite_classes`. */
export class SessionObject {
  readonly #storage: SessionObjectState["storage"];
  /** Versions that are being written, or are written and wait to become the latest. */
  readonly #writing = new Set<string>();

  constructor(state: SessionObjectState) {
    this.#storage = state.storage;
    this.#sql(
      "CREATE TABLE IF NOT EXISTS chunk (version TEXT, i INTEGER, bytes BLOB, PRIMARY KEY (version, i))",
    );
    this.#sql("CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), version TEXT)");
  }

  /** `GET`: the latest snapshot. `PUT`: a new one, answered with its version. `POST /version?bytes=`: makes it the latest. */
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    switch (request.method) {
      case "GET":
        return this.#get();
      case "PUT":
        return new Response(await this.#put(request.body));
      case "POST":
        return this.#commit(pathname.slice(1), Number(searchParams.get("bytes")));
      case "DELETE":
        this.#storage.transactionSync(() => {
          this.#sql("DELETE FROM latest");
          this.#sql("DELETE FROM chunk");
        });
        return new Response();
      default:
        return new Response("GET, PUT, POST or DELETE", { status: 405 });
    }
  }

  #sql(query: string, ...values: unknown[]): Record<string, unknown>[] {
    return [...this.#storage.sql.exec(query, ...values)];
  }

  #get(): Response {
    const version = this.#sql("SELECT version FROM latest")[0]?.version;
    if (version === undefined) return new Response(null, { status: 404 });
    const { readable, writable } = identityStream();
    // A reader that has gone ends it.
    send(this.#rows(version as string), writable.getWriter()).catch(() => {});
    return new Response(readable);
  }

  async *#rows(version: string): AsyncGenerator<Uint8Array> {
    for (let i = 0;; i++) {
      const [row] = this.#sql("SELECT bytes FROM chunk WHERE version = ? AND i = ?", version, i);
      if (row === undefined) return;
      const bytes = row.bytes as ArrayBuffer;
      yield new Uint8Array(bytes);
      // frees it now: together they would be garbage of the snapshot's size
      bytes.transfer(0);
    }
  }

  async #put(body: ReadableStream<Uint8Array> | null): Promise<string> {
    const version = crypto.randomUUID();
    this.#writing.add(version);
    const row = new Uint8Array(ROW_BYTES);
    try {
      let [i, filled] = [0, 0];
      const write = () => {
        this.#sql("INSERT INTO chunk VALUES (?, ?, ?)", version, i++, row.subarray(0, filled));
        filled = 0;
      };
      for await (let piece of body === null ? [] : chunksOf(body)) {
        while (piece.length > 0) {
          const n = Math.min(piece.length, ROW_BYTES - filled);
          row.set(piece.subarray(0, n), filled);
          filled += n;
          piece = piece.subarray(n);
          if (filled === ROW_BYTES) write();
        }
      }
      if (filled > 0) write();
      return version;
    } catch (error) {
      this.#writing.delete(version);
      throw error;
    } finally {
      row.buffer.transfer(0);
    }
  }

  /** In one transaction: the version becomes the latest, and all others but those still being written go. */
  #commit(version: string, bytes: number): Response {
    this.#writing.delete(version);
    return this.#storage.transactionSync(() => {
      const [{ found }] = this.#sql(
        "SELECT SUM(LENGTH(bytes)) AS found FROM chunk WHERE version = ?",
        version,
      );
      if (found !== bytes) return new Response(`${found} of ${bytes} bytes have come`, { status: 409 });
      this.#sql("INSERT OR REPLACE INTO latest VALUES (1, ?)", version);
      for (
        const { version: old } of this.#sql("SELECT DISTINCT version FROM chunk WHERE version <> ?", version)
      ) {
        if (!this.#writing.has(old as string)) this.#sql("DELETE FROM chunk WHERE version = ?", old);
      }
      return new Response();
    });
  }
}
