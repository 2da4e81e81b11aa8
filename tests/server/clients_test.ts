/**
 * Real clients against the server on loopback, in Node.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { output, tool } from "../tools/tools.ts";
import { metric, NAME, testServer } from "./serve.ts";

const node = await tool("node");

Deno.test({
  name:
    "openai, ai and @langchain/openai chat, stream, call tools, keep to a schema, embed, abort and try again",
  ignore: node === undefined,
  async fn() {
    await using api = await testServer({ apiKey: "key", queue: 1 });
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      (r) => api.server.fetch(r),
    );
    const script = new URL("../tools/clients.mjs", import.meta.url).pathname;
    const found = JSON.parse(await output([node!, script, `http://127.0.0.1:${server.addr.port}`]));
    await server.shutdown();
    const text = found.openai;
    const { dim } = api.model.hparams;
    const widths = [dim, dim];
    assertEquals(typeof text, "string");
    assertEquals(found, {
      models: [NAME],
      ...{ openai: text, openaiStream: text, openaiCompletion: text, openaiSdkHelper: text, openaiUsage: 12 },
      ...{ ai: text, aiStream: text, aiUsage: 12, langchain: text, langchainStream: text },
      wrongKey: [401, "invalid_api_key", "Error"],
      tooLong: [400, "context_length_exceeded", "Error"],
      ...{ retried: 6, aiRetried: true, langchainRetried: true },
      ...{
        openaiSchema: true,
        openaiTool: ["tool_calls", true],
        openaiToolStream: true,
        openaiToolResult: "string",
      },
      ...{
        aiObject: true,
        aiObjectStream: true,
        aiTool: [["forecast", true]],
        aiToolStream: [["forecast", true]],
      },
      ...{ langchainSchema: true, langchainTool: [["forecast", true]] },
      ...{ openaiEmbeddings: widths, aiEmbeddings: widths, langchainEmbeddings: widths },
    });
    assertEquals(await metric(api, "locket_requests_running"), 0);
  },
});
