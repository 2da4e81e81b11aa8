/** The bundled model behind OpenAI's API, with a chat template, in the script itself. */
import { loadModel } from "@locket/locket";
import { createServer } from "@locket/locket/server";
import model from "./model.gguf";

const chatTemplate = "{% for message in messages %}{{ message.content }}{% endfor %}";
let server;

export default {
  fetch(request, env, ctx) {
    server ??= createServer(() => loadModel(model, { context: 512, ...env.LOAD }), { chatTemplate });
    return server.fetch(request, env, ctx);
  },
};
