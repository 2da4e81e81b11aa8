/**
 * The example of OpenAI's API in a Worker, in workerd with a real bucket.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { hasWorkerd, serveWorker } from "../tools/worker.ts";
import { tinyModel } from "../model/tiny_model.ts";

const entry = new URL("../../examples/worker-r2/worker.js", import.meta.url);
const model = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const ignore = !await hasWorkerd();

Deno.test({ name: "examples/worker-r2 serves a model out of R2, and lets readers go", ignore }, async () => {
  await using worker = await serveWorker(entry, {
    compatibilityFlags: ["enable_request_signal"],
    bindings: { MODEL_KEY: "books.gguf", LOAD: { context: 512, kvType: "q4_0" }, API_KEY: "key" },
    r2: { MODELS: { "books.gguf": model.pathname } },
  });
  const post = (body: unknown, signal?: AbortSignal) =>
    fetch(`${worker.url}v1/completions`, {
      method: "POST",
      headers: { authorization: "Bearer key", "accept-encoding": "identity" },
      body: JSON.stringify(body),
      signal,
    });
  assertEquals((await fetch(`${worker.url}v1/models`)).status, 401);

  const greedy = { prompt: "The old house", max_tokens: 60, temperature: 0, cache_prompt: false };
  const text = (await (await post(greedy)).json()).choices[0].text;
  let streamed = "";
  let pieces = 0;
  const response = await post({ ...greedy, stream: true });
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    streamed += piece;
    pieces++;
  }
  const chunks = streamed.split("\n\n").filter((event) => event.startsWith("data: {"));
  assertEquals(chunks.map((chunk) => JSON.parse(chunk.slice(6)).choices[0].text).join(""), text);
  assert(pieces > 3, `the reply came in ${pieces} pieces`);

  // one sequence: were it lost with a reader, nobody would be answered any more
  for (let i = 0; i < 4; i++) {
    const abort = new AbortController();
    const reader = (await post({ ...greedy, max_tokens: 1000, stream: true }, abort.signal)).body!
      .getReader();
    await reader.read();
    abort.abort();
    const whole = new AbortController();
    const leaving = post({ ...greedy, max_tokens: 1000 }, whole.signal).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 30));
    whole.abort();
    await leaving;
  }
  const start = performance.now();
  assertEquals((await (await post(greedy)).json()).choices[0].text, text);
  assert(performance.now() - start < 5000, "a request waited for those that had left");
});

Deno.test({ name: "examples/worker-r2 answers 503 while its bucket has no such model", ignore }, async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeFile(file, tinyModel());
  await using worker = await serveWorker(entry, {
    bindings: { MODEL_KEY: "missing.gguf", LOAD: { context: 128 } },
    r2: { MODELS: { "tiny.gguf": file } },
  });
  const response = await fetch(`${worker.url}v1/models`);
  const { error } = await response.json();
  assertEquals([response.status, error.code], [503, "model_unavailable"]);
  await Deno.remove(file);
});
