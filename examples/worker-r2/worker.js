/** OpenAI's API in a Worker: a model out of R2, in an isolate of 128 MB, and sessions in Durable Objects. */
import { durableObjectSessions, loadModel, r2Object } from "@locket/locket";
import { createServer } from "@locket/locket/server";

export { SessionObject } from "@locket/locket";

let server;

export default {
  fetch(request, env, ctx) {
    server ??= createServer(async () => {
      const model = await r2Object(env.MODELS, env.MODEL_KEY);
      return await loadModel(model, { maxBytes: 100e6, ...env.LOAD });
    }, { apiKey: env.API_KEY, queue: 4, sessions: durableObjectSessions(env.SESSIONS) });
    return server.fetch(request, env, ctx);
  },
};
