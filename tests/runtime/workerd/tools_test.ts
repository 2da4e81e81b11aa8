/**
 * JSON schemas, functions and embeddings in workerd: the answers are those that the same server gives in Deno.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { BUNDLED } from "../../generate/bundled.ts";
import { testServer } from "../../server/serve.ts";
import { SCHEMAS } from "../../structured/schemas.ts";
import { hasWorkerd, serveWorker } from "../../tools/worker.ts";

const schema = SCHEMAS["a person"];
const messages = [{ role: "user", content: "The old house" }];
const held = { messages, max_tokens: 300, temperature: 1, seed: 6, cache_prompt: false };
const tools = [{ type: "function", function: { name: "greet", parameters: schema } }];

const REQUESTS: [path: string, body: unknown][] = [
  ["chat/completions", {
    ...held,
    response_format: { type: "json_schema", json_schema: { name: "x", schema } },
  }],
  ["chat/completions", { ...held, tools, tool_choice: "required", parallel_tool_calls: false }],
  ["embeddings", { input: ["the sea", "the ocean"] }],
];

// deno-lint-ignore no-explicit-any
function essence({ choices, data }: any): unknown {
  if (choices === undefined) return data;
  const { message: { content, tool_calls: calls }, finish_reason: reason } = choices[0];
  // deno-lint-ignore no-explicit-any
  return { content, reason, calls: calls?.map((call: any) => call.function) };
}

Deno.test({
  name: "schemas, functions and embeddings are the same in workerd",
  ignore: !await hasWorkerd(),
}, async () => {
  const entry = new URL("tools_worker.js", import.meta.url);
  await using worker = await serveWorker(entry, { data: { "src/entry/model.gguf": BUNDLED } });
  await using here = await testServer();
  for (const [path, body] of REQUESTS) {
    const response = await fetch(`${worker.url}v1/${path}`, { method: "POST", body: JSON.stringify(body) });
    const wanted = await (await here.post(`/v1/${path}`, body)).json();
    assertEquals(essence(await response.json()), essence(wanted));
  }
});
