/**
 * The HTTP API as its specification has it: shapes, options, refusals, limits.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { generate } from "../../src/generate.ts";
import { events, metric, NAME, testServer } from "./serve.ts";

const PROMPT = "The old house";
const GREEDY = { prompt: PROMPT, max_tokens: 12, temperature: 0 };

Deno.test("POST /v1/completions answers with the text that generate() gives", async () => {
  await using api = await testServer();
  const session = await api.post("/v1/completions", GREEDY);
  assertEquals(session.status, 200);
  const { object, model, choices, usage, timings } = await session.json();
  const other = await import("../../mod.ts").then(({ loadModel }) =>
    loadModel(new URL("../../models/locket-books-q8_0.gguf", import.meta.url), { context: 512 })
  );
  const { text } = await generate(other, PROMPT, { maxTokens: 12 }).result();
  other.dispose();
  assertEquals([object, model], ["text_completion", NAME]);
  assertEquals(choices, [{ index: 0, text, logprobs: null, finish_reason: "length" }]);
  assertEquals([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens], [3, 12, 15]);
  assertEquals([timings.prompt_n, timings.predicted_n, timings.cache_n], [3, 12, 0]);
});

Deno.test("POST /v1/chat/completions streams the same text as it answers with", async () => {
  await using api = await testServer();
  const body = { messages: [{ role: "user", content: PROMPT }], max_tokens: 12, temperature: 0.7, seed: 5 };
  const whole = await (await api.post("/v1/chat/completions", body)).json();
  assertEquals(whole.object, "chat.completion");
  assertEquals(whole.choices[0].message.role, "assistant");

  const stream = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await api.post("/v1/chat/completions", stream);
  assertMatch(response.headers.get("content-type")!, /^text\/event-stream/);
  const data = await events(response);
  assertEquals(data.pop(), "[DONE]");
  const chunks = data.map((text) => JSON.parse(text));
  const { usage, choices } = chunks.pop();
  assertEquals([choices, usage.completion_tokens], [[], 12]);
  assert(usage.prompt_tokens_details.cached_tokens > 0, "the prompt was in the session");
  assertEquals(chunks[0].choices[0].delta.role, "assistant");
  assertEquals(chunks.at(-1).choices[0].finish_reason, "length");
  const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
  assertEquals(text, whole.choices[0].message.content);
  assertEquals(new Set(chunks.map(({ id }) => id)).size, 1);
});

Deno.test("stop, logprobs, logit_bias and token prompts are honoured", async () => {
  await using api = await testServer();
  const plain = (await (await api.post("/v1/completions", GREEDY)).json()).choices[0].text;
  const stop = plain.split(" ")[2];
  const stopped = (await (await api.post("/v1/completions", { ...GREEDY, stop })).json()).choices[0];
  assertEquals([stopped.text, stopped.finish_reason], [plain.slice(0, plain.indexOf(stop)), "stop"]);

  const chat = {
    messages: [{ role: "user", content: PROMPT }],
    max_tokens: 3,
    temperature: 0,
    logprobs: true,
  };
  const { content } = (await (await api.post("/v1/chat/completions", { ...chat, top_logprobs: 2 })).json())
    .choices[0].logprobs;
  assertEquals(content.map((entry: { top_logprobs: unknown[] }) => entry.top_logprobs.length), [2, 2, 2]);
  assertEquals(content[0].token, content[0].top_logprobs[0].token);
  assertEquals(new TextDecoder().decode(new Uint8Array(content[0].bytes)), content[0].token);

  const ids = api.model.tokenizer.encode(PROMPT);
  const byIds =
    (await (await api.post("/v1/completions", { ...GREEDY, prompt: ids })).json()).choices[0].text;
  assertEquals(byIds, plain);
  const first = api.model.tokenizer.encode(plain, { addSpecial: false })[0];
  const biased = { ...GREEDY, logit_bias: { [first]: -100 } };
  assert(
    !(await (await api.post("/v1/completions", biased)).json()).choices[0].text.startsWith(plain.slice(0, 3)),
  );
});

Deno.test("a picture in a message is refused by what can be read", async () => {
  await using api = await testServer();
  const content = [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }];
  const response = await api.post("/v1/chat/completions", { messages: [{ role: "user", content }] });
  const { error } = await response.json();
  assertEquals([response.status, error.param], [400, "messages[0].content"]);
  assertStringIncludes(error.message, "only text can be read");
});

Deno.test("what can't be answered is refused in OpenAI's shape", async () => {
  await using api = await testServer({ maxTokens: 64, maxBodyBytes: 4096 });
  const messages = [{ role: "user", content: "x" }];
  const cases: [path: string, body: unknown, status: number, code: string | null, param?: string | null][] = [
    ["/v1/completions", "no JSON", 400, "invalid_json"],
    ["/v1/completions", "null", 400, "invalid_value"],
    ["/v1/completions", {}, 400, "invalid_value", "prompt"],
    ["/v1/completions", { ...GREEDY, temperature: -1 }, 400, "invalid_value", "temperature"],
    ["/v1/completions", { ...GREEDY, n: 2 }, 400, "invalid_value", "n"],
    ["/v1/completions", { ...GREEDY, max_tokens: 65 }, 400, "invalid_value", "max_tokens"],
    ["/v1/completions", { ...GREEDY, prompt: [99999] }, 400, null, "prompt"],
    ["/v1/completions", { ...GREEDY, prompt: Array(512).fill(5) }, 400, "context_length_exceeded"],
    ["/v1/completions", { ...GREEDY, logit_bias: { 99999: 1 } }, 400, null, "logit_bias"],
    ["/v1/completions", { ...GREEDY, prompt: "x".repeat(5000) }, 413, "body_too_large"],
    ["/v1/completions", { ...GREEDY, model: "gpt-4" }, 404, "model_not_found", "model"],
    ["/v1/chat/completions", { messages: [] }, 400, "invalid_value", "messages"],
    [
      "/v1/chat/completions",
      { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
      400,
      "invalid_value",
    ],
    ["/v1/chat/completions", { messages, tools: [{}] }, 400, "invalid_value", "tools[0].type"],
    ["/v1/chat/completions", { messages, tool_choice: "required" }, 400, "invalid_value", "tool_choice"],
    ["/v1/chat/completions", { messages, top_logprobs: 3 }, 400, "invalid_value", "top_logprobs"],
    ["/v1/chat/completions", { messages, functions: [] }, 400, "unknown_parameter", "functions"],
    ["/v1/chat/completions", { messages, reasoning_effort: "low" }, 400, "unknown_parameter"],
    [
      "/v1/chat/completions",
      { messages, stream_options: { x: 1 } },
      400,
      "invalid_value",
      "stream_options.x",
    ],
    ["/v1/chat/completions", { messages, modalities: ["audio"] }, 400, "invalid_value", "modalities[0]"],
    [
      "/v1/chat/completions",
      { messages: [{ role: "user", content: "x", audio: { id: "x" } }] },
      400,
      "invalid_value",
    ],
    ["/v1/completions", { ...GREEDY, tools: [] }, 400, "unknown_parameter", "tools"],
    ["/v1/completions", { ...GREEDY, grammar: "x" }, 400, "unknown_parameter", "grammar"],
    ["/v1/responses", {}, 404, "unknown_url"],
  ];
  for (const [path, body, status, code, param] of cases) {
    const response = await api.post(path, body);
    const { error } = await response.json();
    assertEquals([response.status, error.code], [status, code], JSON.stringify(body));
    assertEquals(typeof error.message, "string");
    if (param !== undefined) assertEquals(error.param, param);
  }
  assertEquals(await metric(api, "locket_requests_running"), 0);
});

Deno.test("fields of OpenAI's own service, and empty ones, mean nothing here", async () => {
  await using api = await testServer();
  const { choices } = await (await api.post("/v1/completions", GREEDY)).json();
  const more = {
    ...{ user: "me", metadata: { a: "b" }, store: true, service_tier: "auto", safety_identifier: "x" },
    ...{ functions: null, function_call: null, reasoning_effort: null, stop: null, logit_bias: null },
  };
  const same = await api.post("/v1/completions", { ...GREEDY, ...more });
  assertEquals((await same.json()).choices, choices);
});

Deno.test("a key is asked for where one is set, but not for the state of health", async () => {
  await using api = await testServer({ apiKey: ["first", "second"] });
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
  assertEquals((await api.get("/v1/models")).status, 401);
  assertEquals((await api.get("/v1/models", as("third"))).status, 401);
  assertEquals((await api.get("/v1/models", as("second"))).status, 200);
  assertEquals(await (await api.get("/healthz")).json(), { status: "ok" });
});

Deno.test("pages of the allowed origins may call, before they have a key", async () => {
  await using api = await testServer({ apiKey: "key", origins: ["https://a.example"] });
  const preflight = (origin: string) =>
    api.get("/v1/chat/completions", {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
      },
    });
  const allowed = await preflight("https://a.example");
  assertEquals([allowed.status, allowed.headers.get("access-control-allow-origin")], [
    204,
    "https://a.example",
  ]);
  assertEquals((await preflight("https://b.example")).headers.get("access-control-allow-origin"), null);
});

Deno.test("a reader who leaves frees the sequence, in the prompt and in the reply", async () => {
  await using api = await testServer({ queue: 0 });
  for (const prompt of [PROMPT, Array.from({ length: 500 }, (_, i) => i)]) {
    const abort = new AbortController();
    const response = await api.post("/v1/completions", { prompt, max_tokens: 400, stream: true }, {
      signal: abort.signal,
    });
    const reader = response.body!.getReader();
    if (prompt === PROMPT) await reader.read();
    else {
      const reading = reader.read();
      await new Promise((resolve) => setTimeout(resolve, 5));
      abort.abort();
      await reading;
    }
    await reader.cancel();
    assertEquals(await metric(api, "locket_requests_running"), 0);
  }
  const abort = new AbortController();
  const whole = api.post("/v1/completions", { ...GREEDY, max_tokens: 400 }, { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  assertEquals((await whole).status, 499);
  assertEquals((await api.post("/v1/completions", GREEDY)).status, 200);
});

Deno.test("a deadline ends a reply by length, and a wait by 503", async () => {
  await using api = await testServer({ deadlineMs: 60 });
  const long = { prompt: PROMPT, max_tokens: 500, temperature: 0 };
  // Both deadlines fall into the same moment: now and then the first to end lets the second in just before its own.
  for (let round = 0;; round++) {
    const [first, second] = await Promise.all([
      api.post("/v1/completions", long),
      api.post("/v1/completions", long),
    ]);
    const { choices: [choice], usage } = await first.json();
    assertEquals(choice.finish_reason, "length");
    assert(usage.completion_tokens < 500);
    const reply = await second.json();
    if (second.status === 200 && round < 9) {
      assertEquals(reply.choices[0].finish_reason, "length");
      continue;
    }
    assertEquals([second.status, second.headers.get("retry-after")], [503, "2"]);
    return;
  }
});

Deno.test("GET /v1/models/{id} shows the model that there is, and no other", async () => {
  await using api = await testServer();
  const get = (path: string) => api.server.fetch(new Request(`http://localhost${path}`));
  const { data } = await (await get("/v1/models")).json();
  assertEquals(await (await get(`/v1/models/${NAME}`)).json(), data[0]);
  const other = await get("/v1/models/org/other");
  const { error } = await other.json();
  assertEquals([other.status, error.code], [404, "model_not_found"]);
  assertEquals(await metric(api, 'locket_requests_total{route="/v1/models",status="404"}'), 1);
});

Deno.test("messages without text are refused, but for those of an assistant that calls", async () => {
  await using api = await testServer();
  const chat = (...messages: unknown[]) => api.post("/v1/chat/completions", { messages, max_tokens: 1 });
  for (
    const message of [{ role: "user" }, { role: "system", content: null }, {
      role: "tool",
      tool_call_id: "a",
    }]
  ) {
    const response = await chat(message);
    const { error } = await response.json();
    assertEquals([response.status, error.param], [400, "messages[0].content"]);
  }
  const call = { id: "a", type: "function", function: { name: "f", arguments: "{}" } };
  const turns = [
    { role: "user", content: "Hello" },
    { role: "assistant", tool_calls: [call] },
    { role: "tool", tool_call_id: "a", content: "1" },
  ];
  const response = await chat(...turns);
  await response.body?.cancel();
  assertEquals(response.status, 200);
});
