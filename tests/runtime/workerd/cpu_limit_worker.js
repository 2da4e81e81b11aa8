/**
 * OpenAI's API with sessions, in a Worker whose CPU time comes to its end when a request says so: `x-warn-at: N` at the
 * N-th piece of the answer, 0 before it has begun. `GET /signal` tells what the word holds.
 */
import { durableObjectSessions, loadModel } from "@locket/locket";
import { createServer } from "@locket/locket/server";
import model from "./model.gguf";

export { SessionObject } from "@locket/locket";

const SIGXCPU = 24;
let word;

const instantiate = WebAssembly.instantiate;
WebAssembly.instantiate = async (...args) => {
  const instance = await instantiate(...args);
  const { memory, __instance_signal } = instance.exports;
  word = () => new Uint32Array(memory.buffer, __instance_signal.value, 1);
  return instance;
};

let server;

export default {
  async fetch(request, env, ctx) {
    server ??= createServer(() => loadModel(model, env.LOAD), {
      sessions: durableObjectSessions(env.SESSIONS),
    });
    if (new URL(request.url).pathname === "/signal") {
      await server.ready();
      return Response.json(word()[0]);
    }
    const at = Number(request.headers.get("x-warn-at") ?? Infinity);
    if (at === 0) word()[0] = SIGXCPU;
    const response = await server.fetch(request, env, ctx);
    let n = 0;
    const watch = new TransformStream({
      transform(piece, controller) {
        if (++n === at) word()[0] = SIGXCPU;
        controller.enqueue(piece);
      },
    });
    return new Response(response.body.pipeThrough(watch), response);
  },
};
