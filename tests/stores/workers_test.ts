/**
 * The stores of Workers in workerd, on its own Durable Objects with SQLite, KV and R2.
 *
 * @module
 */
import { hasWorkerd, type ServedWorker, serveWorker } from "../tools/worker.ts";
import { assertSame, bytesOf, checkContract, type TestedStore } from "./contract.ts";

const ENTRY = new URL("worker.js", import.meta.url);
const ignore = !await hasWorkerd();

const KINDS = ["object", "kv", "r2"] as const;

/** Stores whose contents outlive the Worker in a folder. */
const serve = (folder: string) =>
  serveWorker(ENTRY, {
    durableObjects: { SESSIONS: { className: "SessionObject", useSQLite: true } },
    durableObjectsPersist: `${folder}/objects`,
    kvNamespaces: ["KV"],
    kvPersist: `${folder}/kv`,
    r2: { BUCKET: {} },
    r2Persist: `${folder}/r2`,
  });

function remote({ url }: ServedWorker, kind: string): TestedStore {
  const ask = async (id: string, query: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}${kind}/${encodeURIComponent(id)}${query}`, init);
    if (response.ok || response.status === 404) return response;
    throw new Error(await response.text());
  };
  return {
    async put(id, body, dieAt) {
      const response = await ask(id, dieAt === undefined ? "" : `?die=${dieAt}`, { method: "PUT", body });
      await response.body?.cancel();
    },
    async get(id) {
      const response = await ask(id, "");
      const bytes = await response.bytes();
      return response.ok ? bytes : undefined;
    },
    async delete(id) {
      await (await ask(id, "", { method: "DELETE" })).body?.cancel();
    },
  };
}

Deno.test({ name: "Durable Objects, KV and R2 keep the contract in workerd", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  {
    await using worker = await serve(folder);
    for (const kind of KINDS) await checkContract(remote(worker, kind));
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test({ name: "stores in workerd survive SIGKILL at any moment of a save", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  const last = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  let possible = Object.fromEntries(KINDS.map((kind) => [kind, [0, 0]]));
  const size = (seed: number) => 2_000_000 + 1000 * seed;
  let within = 0;
  const kills = 3;
  for (let kill = 0; kill <= kills; kill++) {
    await using worker = await serve(folder);
    for (const kind of KINDS) {
      const found = await remote(worker, kind).get("one");
      const seen = possible[kind].find((seed) => found?.length === (seed === 0 ? undefined : size(seed)));
      if (seen === undefined) throw new Error(`${kind}: ${found?.length} bytes, of neither snapshot`);
      if (seen > 0) assertSame(found, bytesOf(size(seen), seen));
      last[kind] = seen;
    }
    const begun = { ...last };
    if (kill === kills) break;
    const saving = KINDS.map(async (kind) => {
      const store = remote(worker, kind);
      for (let seed = last[kind] + 1;; seed++) {
        begun[kind] = seed;
        await store.put("one", bytesOf(size(seed), seed));
        last[kind] = seed;
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 500 + Math.random() * 2000));
    worker.crash();
    await Promise.allSettled(saving);
    within += KINDS.filter((kind) => begun[kind] !== last[kind]).length;
    // What was begun may have come to its end unseen.
    possible = Object.fromEntries(KINDS.map((kind) => [kind, [last[kind], begun[kind]]]));
  }
  console.log(`      saves ${Object.values(last).join(", ")}, ${kills} kills, ${within} saves within one`);
  await Deno.remove(folder, { recursive: true });
});
