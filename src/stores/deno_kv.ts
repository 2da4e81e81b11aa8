/**
 * Sessions in Deno KV, whose values have at most 64 KiB and whose transactions at most 800 KiB.
 *
 * ```text
 * [prefix, id]              { current: { version, count } or none, writing: versions, dead: versions }
 * [prefix, id, version, i]  a chunk
 * ```
 * A save enters its version among those being written, writes its chunks, makes itself the current one and all others dead
 * in one transaction, and deletes the dead. Wherever it dies, the current one is whole, and the next save deletes what it
 * left.
 *
 * @module
 */
import { SnapshotError } from "../error.ts";
import { checkSessionId, type SessionStore, type SnapshotChunks } from "./store.ts";

type Key = readonly (Uint8Array | string | number | bigint | boolean | symbol)[];

interface Entry {
  readonly key: Key;
  readonly value: unknown;
  readonly versionstamp: string | null;
}

interface Atomic {
  check(entry: { key: Key; versionstamp: string | null }): Atomic;
  set(key: Key, value: unknown): Atomic;
  delete(key: Key): Atomic;
  commit(): Promise<{ readonly ok: boolean }>;
}

/** What is needed of a `Deno.Kv`. */
export interface DenoKv {
  get(key: Key): Promise<Entry>;
  getMany(keys: readonly Key[]): Promise<Entry[]>;
  list(selector: { prefix: Key }, options?: { limit?: number }): AsyncIterable<Entry>;
  atomic(): Atomic;
}

/** What is known of one conversation. */
interface Versions {
  readonly current: { readonly version: string; readonly count: number } | null;
  readonly writing: readonly string[];
  /** To be deleted. */
  readonly dead: readonly string[];
}

const NOTHING: Versions = { current: null, writing: [], dead: [] };

/** Bytes of a value, its own framing aside. */
const VALUE_BYTES = 60 * 2 ** 10;

/** Values of one transaction, and of one request. */
const SET_AT_ONCE = 12;
const GET_AT_ONCE = 10;
const DELETE_AT_ONCE = 500;

/**
 * Sessions in Deno KV.
 *
 * @param kv What `Deno.openKv` opened.
 *
 * @example
 * ```ts ignore
 * createServer(load, { sessions: denoKvSessions(await Deno.openKv()) });
 * ```
 */
export function denoKvSessions(kv: DenoKv, prefix = "locket-session"): SessionStore {
  const session = (id: string) => new KvSession(kv, [prefix, checkSessionId(id)]);
  return {
    load: async (id) => await session(id).load(),
    save: async (id, chunks) => await session(id).save(chunks),
    delete: async (id) => await session(id).delete(),
  };
}

class KvSession {
  constructor(private readonly kv: DenoKv, private readonly key: Key) {}

  async load(): Promise<AsyncIterable<Uint8Array> | undefined> {
    const { current } = await this.#read();
    return current === null ? undefined : this.#chunks(current);
  }

  async save(chunks: SnapshotChunks): Promise<void> {
    const version = crypto.randomUUID();
    await this.#change((record) => ({ ...record, writing: [...record.writing, version] }));
    let count = 0;
    let batch = this.kv.atomic();
    for await (const chunk of chunks(VALUE_BYTES)) {
      batch.set([...this.key, version, count++], chunk.slice());
      if (count % SET_AT_ONCE > 0) continue;
      await batch.commit();
      batch = this.kv.atomic();
    }
    await batch.commit();
    let late = false;
    await this.#change((record) => {
      // Somebody else has saved since, and what is written here is dead.
      late = !record.writing.includes(version);
      return late ? undefined : { current: { version, count }, writing: [], dead: theDead(record, version) };
    });
    await this.#sweep(late ? [version] : []);
  }

  async delete(): Promise<void> {
    await this.#change((record) => ({ current: null, writing: [], dead: theDead(record) }));
    await this.#sweep();
  }

  async *#chunks({ version, count }: NonNullable<Versions["current"]>): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < count; i += GET_AT_ONCE) {
      const keys = Array.from(
        { length: Math.min(GET_AT_ONCE, count - i) },
        (_, j) => [...this.key, version, i + j],
      );
      for (const { value } of await this.kv.getMany(keys)) {
        if (!(value instanceof Uint8Array)) {
          throw new SnapshotError(
            `session ${String(this.key.at(-1))}`,
            "replaced while it was read",
            "one to be read",
          );
        }
        yield value;
      }
    }
  }

  /** Deletes what is dead, and `more`. */
  async #sweep(more: readonly string[] = []): Promise<void> {
    const { dead } = await this.#read();
    for (const version of new Set([...dead, ...more])) {
      let keys: Key[] = [];
      const remove = async () => {
        const batch = this.kv.atomic();
        for (const key of keys) batch.delete(key);
        await batch.commit();
        keys = [];
      };
      for await (const { key } of this.kv.list({ prefix: [...this.key, version] })) {
        keys.push(key);
        if (keys.length === DELETE_AT_ONCE) await remove();
      }
      if (keys.length > 0) await remove();
    }
    await this.#change((record) => ({
      ...record,
      dead: record.dead.filter((version) => !dead.includes(version)),
    }));
  }

  async #read(): Promise<Versions> {
    return (await this.kv.get(this.key)).value as Versions | null ?? NOTHING;
  }

  /** Changes the record in one transaction, tried again when somebody was faster. */
  async #change(change: (record: Versions) => Versions | undefined): Promise<void> {
    for (;;) {
      const { key, value, versionstamp } = await this.kv.get(this.key);
      const changed = change(value as Versions | null ?? NOTHING);
      if (changed === undefined) return;
      const atomic = this.kv.atomic().check({ key, versionstamp });
      const empty = changed.current === null && changed.writing.length + changed.dead.length === 0;
      const { ok } = await (empty ? atomic.delete(key) : atomic.set(key, changed)).commit();
      if (ok) return;
    }
  }
}

/** All versions of a record but one. */
function theDead({ current, writing, dead }: Versions, living?: string): string[] {
  return [...dead, ...writing, ...(current === null ? [] : [current.version])]
    .filter((version) => version !== living);
}
