import { generate, loadModel, openShards } from "@locket/locket";

export default {
  async fetch(_request, env) {
    const shards = await openShards((name) => env.ASSETS.fetch(`https://assets/${name}`));
    const model = await loadModel(shards, { context: 128, binary: "simd128" });
    const { tokens } = await generate(model, "The old house", { maxTokens: 10 }).result();
    return Response.json(tokens);
  },
};
