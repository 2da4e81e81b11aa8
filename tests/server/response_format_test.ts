/**
 * `response_format`: whatever the model, what is complete parses and is what the schema asks for.
 */
import { assert, assertEquals } from "@std/assert";
import { assertValid, SCHEMAS } from "../structured/schemas.ts";
import { events, testServer } from "./serve.ts";

const messages = [{ role: "user", content: "The old house" }];
const format = (schema: unknown) => ({
  type: "json_schema",
  json_schema: { name: "reply", strict: true, schema },
});

Deno.test("replies to a schema are valid, whole and streamed, as chats and as completions", async () => {
  await using api = await testServer();
  let complete = 0;
  for (const [name, schema] of Object.entries(SCHEMAS)) {
    const body = {
      max_tokens: 300,
      temperature: 1,
      seed: 3,
      response_format: format(schema),
      cache_prompt: false,
    };
    const chat = (await (await api.post("/v1/chat/completions", { ...body, messages })).json()).choices[0];
    const response = await api.post("/v1/chat/completions", { ...body, messages, stream: true });
    const chunks = (await events(response)).slice(0, -1).map((text) => JSON.parse(text).choices[0]);
    const streamed = chunks.map(({ delta }) => delta.content ?? "").join("");
    const completion =
      (await (await api.post("/v1/completions", { ...body, prompt: "The old house" })).json())
        .choices[0];
    const texts = [chat.message.content, streamed, completion.text];
    assertEquals(new Set(texts).size, 1, name);
    assertEquals([chunks.at(-1).finish_reason, completion.finish_reason], [
      chat.finish_reason,
      chat.finish_reason,
    ]);
    if (chat.finish_reason === "length") continue;
    assertEquals(chat.finish_reason, "stop");
    assertValid(schema, texts[0]);
    complete++;
  }
  assert(complete > Object.keys(SCHEMAS).length / 2, `${complete} are complete`);
});

Deno.test("json_object is an object, and one that is cut says so", async () => {
  await using api = await testServer();
  const ask = async (maxTokens: number, seed: number) => {
    const body = {
      messages,
      max_tokens: maxTokens,
      temperature: 1,
      seed,
      response_format: { type: "json_object" },
    };
    return (await (await api.post("/v1/chat/completions", body)).json()).choices[0];
  };
  assertEquals((await ask(1, 0)).finish_reason, "length");
  let complete = 0;
  for (let seed = 0; seed < 6; seed++) {
    const { message: { content }, finish_reason: reason } = await ask(400, seed);
    if (reason === "length") continue;
    complete++;
    assertValid({ type: "object" }, content);
  }
  assert(complete > 0);
});

Deno.test("a schema that can't be held to is refused by the place in it, before a token", async () => {
  await using api = await testServer();
  const cases: [responseFormat: unknown, param: string][] = [
    [{ type: "yaml" }, "response_format.type"],
    [{ type: "json_schema" }, "response_format.json_schema"],
    [{ type: "json_schema", json_schema: { name: "x" } }, "response_format.json_schema.schema"],
    [format({ type: "text" }), "response_format.json_schema.schema.type"],
    [
      format({ type: "object", properties: { when: { type: "string", format: "date" } } }),
      "response_format.json_schema.schema.properties.when.format",
    ],
  ];
  for (const stream of [false, true]) {
    for (const [response_format, param] of cases) {
      for (const path of ["/v1/chat/completions", "/v1/completions"]) {
        const prompt = path.includes("chat") ? { messages } : { prompt: "x" };
        const response = await api.post(path, { ...prompt, stream, response_format });
        const { error } = await response.json();
        assertEquals([response.status, error.type, error.param], [400, "invalid_request_error", param]);
      }
    }
  }
});
