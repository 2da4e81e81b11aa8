/** OpenAI's API on Deno Deploy: the model ships with the app, or comes once from `MODEL_URL`. */
import { cachedSource, cacheStore, loadModel } from "@locket/locket";
import { createServer } from "@locket/locket/server";

const { MODEL = new URL("./model.gguf", import.meta.url), MODEL_URL, API_KEY } = Deno.env.toObject();

const server = createServer(async () => {
  const store = MODEL_URL && cacheStore(await caches.open("models"));
  const model = store ? cachedSource(MODEL_URL, store) : MODEL;
  return await loadModel(model, { sequences: 2, maxBytes: 400e6 });
}, { apiKey: API_KEY?.split(",") });

export default { fetch: (request: Request) => server.fetch(request) };
