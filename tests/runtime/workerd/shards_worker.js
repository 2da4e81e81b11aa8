/** Shards out of static assets; out of KV where they have been put there by `PUT`. */
import { generate, loadModel, openShards } from "@locket/locket";

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (request.method === "PUT") {
      await env.KV.put(pathname.slice(1), await request.arrayBuffer());
      return new Response();
    }
    const shards = await openShards(
      pathname === "/kv"
        ? (name) => env.KV.get(name, "stream")
        : (name) => env.ASSETS.fetch(`https://assets/${name}`),
    );
    const model = await loadModel(shards, { context: 128, binary: "simd128" });
    const { tokens } = await generate(model, "The old house", { maxTokens: 10 }).result();
    return Response.json(tokens);
  },
};
