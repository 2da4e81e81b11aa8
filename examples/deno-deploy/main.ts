/** OpenAI's API on Deno Deploy; the model ships with the app. Locally: `deno serve -A main.ts`. */
import { loadModel } from "@locket/locket";
import { createServer } from "@locket/locket/server";

const path = Deno.env.get("MODEL") ?? new URL("./model.gguf", import.meta.url);
const server = createServer(() => loadModel(path, { sequences: 2, maxBytes: 400e6 }), {
  apiKey: Deno.env.get("API_KEY")?.split(","),
});

export default { fetch: (request: Request) => server.fetch(request) };
