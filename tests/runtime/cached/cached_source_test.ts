/**
 * Models that are fetched once: whatever happens to the store and the connection, the bytes are right.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  cachedSource,
  cacheStore,
  loadModel,
  type ModelStore,
  OptionError,
  SourceError,
} from "../../../mod.ts";
import { CHUNK_BYTES } from "../../../src/runtime/cached/model_store.ts";
import type { SourceFile } from "../../../src/gguf/source.ts";
import { type ModelServer, serveModel } from "../../tools/model_server.ts";
import { tinyModel } from "../../model/tiny_model.ts";
import { loadCached } from "./load_cached.js";
import { expectedTokens, modelBytes, N_CHUNKS } from "./model_bytes.ts";

/** A store that a test can look into. */
class MemoryStore implements ModelStore {
  readonly values = new Map<string, Uint8Array<ArrayBuffer>>();
  /** Puts that still succeed. */
  room = Infinity;

  get(name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.values.get(name));
  }

  put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.room-- <= 0) return Promise.reject(new Error("the disk is full"));
    this.values.set(name, bytes.slice());
    return Promise.resolve();
  }

  delete(name: string): Promise<void> {
    this.values.delete(name);
    return Promise.resolve();
  }

  get manifest(): string | undefined {
    return [...this.values.keys()].find((name) => name.endsWith(".manifest"));
  }
}

const bytes = await modelBytes();
const tokens = await expectedTokens();
const whole = { fromStore: bytes.length, fromNetwork: 0 };

async function readAll(file: SourceFile, offset = 0, stopAt = Infinity): Promise<Uint8Array> {
  const read = new Uint8Array(bytes.length - offset);
  const stream = await file.open(offset);
  let at = 0;
  try {
    while (at < stopAt) {
      const piece = await stream.read();
      if (piece === undefined) break;
      read.set(piece, at);
      at += piece.length;
    }
  } finally {
    stream.close();
  }
  return read.subarray(0, at);
}

/** Bytes are compared in native code. */
function same(found: Uint8Array, wanted: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(found) === new TextDecoder("latin1").decode(wanted);
}

Deno.test("cachedSource() asks the network once, and never after", async () => {
  await using server = serveModel(bytes);
  const store = new MemoryStore();
  const first = await loadCached(server.url, store);
  assertEquals([first.tokens, first.fromNetwork, first.stored], [tokens, bytes.length, true]);
  assertEquals(store.values.size, N_CHUNKS + 1);
  await server.cut();
  const { name, ...second } = await loadCached(server.url, store);
  assertEquals(second, { tokens: [...tokens], ...whole, stored: true, problem: undefined });
  assertEquals([name, server.asked], [server.url, [{ from: 0, status: 206 }]]);
  assert([...store.values.keys()].every((name) => !name.includes("127") && /^[a-z0-9.]{1,50}$/.test(name)));
});

Deno.test("cachedSource() works with the Cache API of Deno", async () => {
  await using server = serveModel(bytes);
  const name = crypto.randomUUID();
  const store = cacheStore(await caches.open(name));
  try {
    assertEquals((await loadCached(server.url, store)).stored, true);
    await server.cut();
    const second = await loadCached(server.url, store);
    assertEquals([second.tokens, second.fromStore], [[...tokens], bytes.length]);
  } finally {
    await caches.delete(name);
  }
});

Deno.test("cachedSource() gives the right bytes whatever was lost or damaged, and heals the store", async () => {
  await using server = serveModel(bytes);
  const good = new MemoryStore();
  await readAll(cachedSource(server.url, good).file(0));
  const names = [...good.values.keys()];
  const damages = {
    lost: () => undefined,
    empty: () => new Uint8Array(),
    short: (value: Uint8Array<ArrayBuffer>) => value.slice(0, -1),
    long: (value: Uint8Array) => new Uint8Array([...value, 0]),
    flipped: (value: Uint8Array<ArrayBuffer>) => value.with(value.length >> 1, value[value.length >> 1] ^ 1),
  };
  const damage = fc.constantFrom(...Object.values(damages));
  const cases = fc.array(fc.tuple(fc.constantFrom(...names), damage), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(cases, fc.nat(bytes.length - 1), async (cases, offset) => {
      const store = new MemoryStore();
      good.values.forEach((value, name) => store.values.set(name, value));
      for (const [name, damage] of cases) {
        const value = damage(good.values.get(name)!);
        if (value === undefined) store.values.delete(name);
        else store.values.set(name, value);
      }
      const source = cachedSource(server.url, store);
      assert(same(await readAll(source.file(0), offset), bytes.subarray(offset)));
      assert(same(await readAll(cachedSource(server.url, store).file(0)), bytes));
      const healed = cachedSource(server.url, store);
      await readAll(healed.file(0));
      assertEquals(healed.files[0], { name: server.url, ...whole, stored: true, problem: undefined });
    }),
    { numRuns: 8 },
  );
});

Deno.test("cachedSource() fetches again only the chunks that are damaged", async () => {
  await using server = serveModel(bytes);
  const store = new MemoryStore();
  await readAll(cachedSource(server.url, store).file(0));
  const second = [...store.values.keys()].find((name) => name.endsWith(".00001"))!;
  store.values.get(second)![7] ^= 255;
  const healing = await loadCached(server.url, store);
  assertEquals([healing.tokens, healing.fromNetwork], [[...tokens], CHUNK_BYTES]);
  assertEquals(server.asked.map(({ from }) => from), [0, CHUNK_BYTES]);
});

Deno.test("cachedSource() never trusts what was left half-written, wherever it stopped", async () => {
  await using server = serveModel(bytes);
  const stops = fc.integer({ min: 1, max: bytes.length - 1 });
  await fc.assert(
    fc.asyncProperty(stops, async (stop) => {
      const store = new MemoryStore();
      const torn = cachedSource(server.url, store);
      await readAll(torn.file(0), 0, stop);
      assertEquals([torn.files[0].stored, store.manifest], [false, undefined]);
      const again = cachedSource(server.url, store);
      assert(same(await readAll(again.file(0)), bytes));
      assertEquals([again.files[0].fromNetwork, again.files[0].stored], [bytes.length, true]);
    }),
    { numRuns: 4 },
  );
});

Deno.test("cachedSource() goes on where a reader that paused comes back, and stores the whole", async () => {
  await using server = serveModel(bytes);
  const store = new MemoryStore();
  const file = cachedSource(server.url, store).file(0);
  const first = await readAll(file, 0, CHUNK_BYTES + 100_000);
  assert(same(await readAll(file, CHUNK_BYTES + 77), bytes.subarray(CHUNK_BYTES + 77)));
  assert(same(first, bytes.subarray(0, first.length)));
  await server.cut();
  assert(same(await readAll(cachedSource(server.url, store).file(0)), bytes));
});

Deno.test("cachedSource() loads without a store that is full or broken, and says so", async () => {
  await using server = serveModel(bytes);
  for (const room of [0, 1, N_CHUNKS]) {
    const store = new MemoryStore();
    store.room = room;
    const { name: _, ...found } = await loadCached(server.url, store);
    const wanted = { fromStore: 0, fromNetwork: bytes.length, stored: false, problem: "the disk is full" };
    assertEquals([found, store.manifest], [{ tokens: [...tokens], ...wanted }, undefined]);
  }
  const broken = () => Promise.reject(new Error("broken"));
  const { problem } = await loadCached(server.url, { get: broken, put: broken, delete: broken });
  assertEquals(problem, "broken");
});

Deno.test("cachedSource() refuses a damaged chunk whose file has changed, and takes the new version next", async () => {
  const store = new MemoryStore();
  const versions = [bytes, bytes.with(CHUNK_BYTES + 5, 0x5a)];
  let version = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ headers }) => {
    const from = Number(/\d+/.exec(headers.get("range")!));
    const body = versions[version].slice(from);
    const range = { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    return new Response(body, { status: 206, headers: range });
  });
  const url = `http://127.0.0.1:${server.addr.port}/model.gguf`;
  await readAll(cachedSource(url, store).file(0));
  version = 1;
  store.values.delete([...store.values.keys()].find((name) => name.endsWith(".00001"))!);
  await assertRejects(
    () => readAll(cachedSource(url, store).file(0)),
    SourceError,
    "the file has changed since",
  );
  assert(same(await readAll(cachedSource(url, store).file(0)), versions[1]));
  await server.shutdown();
});

Deno.test("cachedSource() stores no file of another digest, or whose size nobody tells", async () => {
  const store = new MemoryStore();
  await using server = serveModel(bytes);
  const sha256 = "0".repeat(64);
  const load = () => loadModel(cachedSource(server.url, store, { sha256 }), { context: 128 });
  await assertRejects(load, SourceError, "the SHA-256 is");
  await assertRejects(load, SourceError, "the SHA-256 is");
  assertEquals(store.manifest, undefined);

  const tiny = tinyModel();
  const silent = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    return new Response(new Blob([tiny]).stream());
  });
  const source = cachedSource(`http://127.0.0.1:${silent.addr.port}/`, store);
  (await loadModel(source, { context: 64 })).dispose();
  assertEquals([source.files[0].problem, store.manifest], [
    "the server does not tell the file's size",
    undefined,
  ]);
  const sized = cachedSource(source.name, store, { size: tiny.length });
  (await loadModel(sized, { context: 64 })).dispose();
  assertEquals(sized.files[0].stored, true);
  await silent.shutdown();
});

Deno.test("CachedSource.forget() leaves nothing", async () => {
  await using server: ModelServer = serveModel(bytes);
  const store = new MemoryStore();
  const source = cachedSource(server.url, store);
  await readAll(source.file(0));
  await cachedSource(server.url, store).forget();
  assertEquals(store.values.size, 0);
});

Deno.test("cachedSource() refuses what is no URL, and loadModel() a digest that comes too late", async () => {
  const store = new MemoryStore();
  for (const url of ["model.gguf", "file:///model.gguf", ""]) {
    assertThrows(() => cachedSource(url, store), OptionError, "url is");
  }
  const source = cachedSource("https://example.com/x.gguf", store);
  await assertRejects(
    () => loadModel(source, { sha256: "0".repeat(64) }),
    OptionError,
    "given to the source itself",
  );
});
