/** Session stores in a Worker: `PUT`, `GET` and `DELETE /STORE/ID`; `?die=N` lets a snapshot fail after N bytes. */
import { durableObjectSessions, r2Sessions, SessionObject, workersKvSessions } from "@locket/locket";

export { SessionObject };

const STORES = {
  object: (env) => durableObjectSessions(env.SESSIONS),
  kv: (env) => workersKvSessions(env.KV),
  r2: (env) => r2Sessions(env.BUCKET),
};

async function* cut(bytes, maxBytes, dieAt) {
  for (let at = 0; at < bytes.length; at += maxBytes) {
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (at + maxBytes > dieAt) throw new Error("the sequence is gone");
    yield bytes.slice(at, at + maxBytes);
  }
}

async function answer(request, env) {
  const { pathname, searchParams } = new URL(request.url);
  const [, kind, id] = pathname.split("/").map(decodeURIComponent);
  const store = STORES[kind](env);
  if (request.method === "GET") {
    const chunks = await store.load(id);
    return chunks === undefined
      ? new Response(null, { status: 404 })
      : new Response(ReadableStream.from(chunks));
  }
  if (request.method === "DELETE") await store.delete(id);
  else {
    const bytes = new Uint8Array(await request.arrayBuffer());
    const dieAt = Number(searchParams.get("die") ?? Infinity);
    await store.save(id, (maxBytes) => cut(bytes, maxBytes, dieAt));
  }
  return new Response();
}

export default {
  async fetch(request, env) {
    try {
      return await answer(request, env);
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  },
};
