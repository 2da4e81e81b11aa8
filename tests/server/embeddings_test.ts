/**
 * `POST /v1/embeddings`: the vectors of `Model.embed`, in OpenAI's shapes.
 */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { metric, testServer } from "./serve.ts";

Deno.test("texts and ids, as floats and as base64", async () => {
  await using api = await testServer();
  const wanted = [await embedded("the sea"), await embedded("the ocean")];
  async function embedded(text: string): Promise<number[]> {
    const { loadModel } = await import("../../mod.ts");
    const model = await loadModel(new URL("../../models/locket-books-q8_0.gguf", import.meta.url));
    const vector = Array.from(await model.embed(text));
    model.dispose();
    return vector;
  }
  const ids = api.model.tokenizer.encode("the sea");
  const nTokens = ids.length + api.model.tokenizer.encode("the ocean").length;
  const ask = async (body: unknown) => (await api.post("/v1/embeddings", body)).json();
  const float = await ask({
    model: "locket-books",
    input: ["the sea", "the ocean"],
    encoding_format: "float",
  });
  assertEquals(float, {
    object: "list",
    data: wanted.map((embedding, index) => ({ object: "embedding", index, embedding })),
    model: "locket-books",
    usage: { prompt_tokens: nTokens, total_tokens: nTokens },
  });
  for (const input of ["the sea", ["the sea"], ids, [ids]]) {
    const { data: [{ embedding }] } = await ask({ input, encoding_format: "base64" });
    const bytes = Uint8Array.from(atob(embedding), (character) => character.charCodeAt(0));
    assertEquals(Array.from(new Float32Array(bytes.buffer)), wanted[0]);
  }
  const { data: [{ embedding: short }] } = await ask({ input: "the sea", dimensions: 10 });
  const length = Math.hypot(...wanted[0].slice(0, 10));
  assertEquals(short.length, 10);
  short.forEach((x: number, i: number) => assertAlmostEquals(x, wanted[0][i] / length, 1e-6));

  // a conversation goes on as if nothing had been in between
  const chat = { prompt: "The old house", max_tokens: 8, temperature: 0 };
  const text = async () => (await (await api.post("/v1/completions", chat)).json()).choices[0].text;
  const before = await text();
  await ask({ input: "It was late" });
  assertEquals(await text(), before);
});

Deno.test("what can't be embedded is refused", async () => {
  await using api = await testServer({ queue: 0 });
  const memory = api.model.memoryBytes;
  const cases: [body: unknown, code: string | null, param: string | null][] = [
    [{}, "invalid_value", "input"],
    [{ input: "" }, "invalid_value", "input"],
    [{ input: [] }, "invalid_value", "input"],
    [{ input: ["x", ""] }, "invalid_value", "input[1]"],
    [{ input: [[1, 2], []] }, "invalid_value", "input[1]"],
    [{ input: [99999] }, null, "input"],
    [{ input: "x ".repeat(600) }, "context_length_exceeded", "input"],
    [{ input: "x", dimensions: 9999 }, null, "dimensions"],
    [{ input: "x", encoding_format: "int8" }, "invalid_value", "encoding_format"],
    [{ input: "x", task: "query" }, "unknown_parameter", "task"],
  ];
  for (const [body, code, param] of cases) {
    const response = await api.post("/v1/embeddings", body);
    const { error } = await response.json();
    assertEquals(
      [response.status, error.code, error.param],
      [400, code, param],
      JSON.stringify(body).slice(0, 80),
    );
  }
  const named = { headers: { "x-locket-session": "a" } };
  assertEquals((await api.post("/v1/embeddings", { input: "x" }, named)).status, 400);
  const abort = new AbortController();
  const many = api.post("/v1/embeddings", { input: Array(200).fill("It was late. ".repeat(50)) }, {
    signal: abort.signal,
  });
  setTimeout(() => abort.abort(), 20);
  assertEquals((await many).status, 499);
  await using late = await testServer({ deadlineMs: 30 });
  const slow = await late.post("/v1/embeddings", { input: Array(200).fill("It was late. ".repeat(50)) });
  assertEquals([slow.status, slow.headers.get("retry-after")], [503, "2"]);
  assertEquals([await metric(api, "locket_requests_running"), api.model.memoryBytes], [0, memory]);
  assertEquals(api.model.brokenGuards(), []);
});
