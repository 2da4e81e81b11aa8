/**
 * The AI SDK on a model in the same process.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { output, tool } from "../tools/tools.ts";
import { installedApp } from "../tools/tools.ts";
import { testServer } from "./serve.ts";

const node = await tool("node");

Deno.test({
  name: "generateText, streamText, generateObject and tools run on locket(model) without HTTP",
  ignore: node === undefined,
}, async () => {
  const model = new URL("../../models/locket-books-q8_0.gguf", import.meta.url).pathname;
  const app = await installedApp();
  const script = new URL("../tools/ai_sdk.mjs", import.meta.url).pathname;
  const found = JSON.parse(await output([node!, script, app.href, model]));
  await using api = await testServer();
  const body = { prompt: "The old house", max_tokens: 12, temperature: 0 };
  const { text } = (await (await api.post("/v1/completions", body)).json()).choices[0];
  assertEquals(found, {
    text,
    streamed: text,
    finishReason: "length",
    usage: [3, 12],
    four: [text, text, text, text],
    aborted: "rejected",
    object: true,
    steps: ["tool-calls", "tool-calls"],
    asked: true,
    streamedCalls: true,
    warned: ["tool search"],
  });
});
