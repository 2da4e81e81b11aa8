import { generate, guardedBody, loadModel, r2Object } from "@locket/locket";

let loading;

/** Streams a line of JSON a token, and last the size of WebAssembly memory. */
export default {
  async fetch(request, env, ctx) {
    const { prompt, maxTokens, load } = await request.json();
    loading ??= r2Object(env.MODELS, "model.gguf").then((input) => loadModel(input, load));
    ctx.waitUntil(loading);
    const model = await loading;
    async function* lines() {
      for await (const { id } of generate(model, prompt, { maxTokens, ignoreEos: true })) yield `${id}\n`;
      yield `memory ${model.memoryBytes}\n`;
    }
    return new Response(guardedBody(ReadableStream.from(lines()), ctx));
  },
};
