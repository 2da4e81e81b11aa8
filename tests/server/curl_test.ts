/**
 * The requests of `docs/edge.md`, by curl as they stand there, against a server on loopback.
 */
import { assert, assertEquals } from "@std/assert";
import { assertValid } from "../structured/schemas.ts";
import { output, run } from "../tools/tools.ts";
import { testServer } from "./serve.ts";

const { success: hasCurl } = await run(["curl", "--version"]);
if (!hasCurl) console.warn("SKIPPED: no curl on this machine");

const guide = await Deno.readTextFile(new URL("../../docs/edge.md", import.meta.url));
const requests = [...guide.matchAll(/^```sh\n(curl .*?)^```/gms)].map(([, request]) => request);

Deno.test({ name: "each request of the guide is answered", ignore: !hasCurl }, async () => {
  assertEquals(requests.length, 4);
  await using api = await testServer();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => api.server.fetch(request),
  );
  const ask = (request: string) => {
    const at = request.replace("http://localhost:8080", `http://127.0.0.1:${server.addr.port}`);
    return output(["bash", "-c", at.replace("curl ", "curl --silent --show-error ")]);
  };
  const [chat, json, call, vectors] = await Promise.all(requests.map(ask));
  await server.shutdown();
  assert(chat.endsWith("data: [DONE]\n\n"), chat);
  const { choices: [{ text, finish_reason: reason }] } = JSON.parse(json);
  assertEquals(reason, "stop");
  assertValid({
    properties: { rooms: { type: "integer" }, colour: { enum: ["red", "grey"] } },
    required: ["rooms", "colour"],
  }, text);
  const { choices: [{ message }] } = JSON.parse(call);
  assertEquals(message.tool_calls[0].function.name, "weather");
  assertEquals(JSON.parse(vectors).data.length, 2);
});
