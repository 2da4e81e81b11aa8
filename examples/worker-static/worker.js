/** A Worker that brings its model in the script: for models up to some 20 MB. */
import { generate, guardedBody, loadModel } from "@locket/locket";
import model from "./model.gguf";

let loading;

export default {
  async fetch(request, _env, ctx) {
    const { searchParams } = new URL(request.url);
    loading ??= loadModel(model, { context: 512, sequences: 4, maxBytes: 32e6 });
    const { textStream } = generate(await loading, searchParams.get("prompt") ?? "The old house", {
      maxTokens: 128,
      temperature: Number(searchParams.get("temperature") ?? 0.8),
    });
    return new Response(guardedBody(textStream, ctx), {
      // a compressed reply would arrive in blocks instead of tokens
      headers: { "content-type": "text/plain; charset=utf-8", "content-encoding": "identity" },
    });
  },
};
