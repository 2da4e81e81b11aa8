/**
 * The network has its turn while a reply is computed: other requests are answered, and a client that leaves is seen.
 */
import { assert, assertEquals } from "@std/assert";
import { metric, testServer } from "./serve.ts";

/** A reply that goes on until its tokens are used up. */
const LONG = {
  prompt: "It was late",
  max_tokens: 480,
  response_format: {
    type: "json_schema",
    json_schema: { name: "long", schema: { type: "string", minLength: 9999 } },
  },
};

Deno.test("other requests are answered while one is computed, and who leaves stops it", async () => {
  await using api = await testServer({ queue: 0 });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => api.server.fetch(request),
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  const running = async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^locket_requests_running (\d)$/m.exec(text)![1]);
  };
  const order: string[] = [];
  const body = JSON.stringify(LONG);
  const whole = fetch(`${url}/v1/completions`, { method: "POST", body }).then(async (response) => {
    order.push("reply");
    return (await response.json()).usage.completion_tokens;
  });
  while (order.length === 0 && await running() === 0);
  for (let i = 0; i < 3; i++) {
    await (await fetch(`${url}/healthz`)).body!.cancel();
    order.push("health");
  }
  const refused = await fetch(`${url}/v1/completions`, { method: "POST", body });
  order.push(`${refused.status}`);
  await refused.body!.cancel();
  assertEquals(await whole, 480);
  assertEquals(order, ["health", "health", "health", "429", "reply"]);

  const abort = new AbortController();
  let answered = false;
  const left = fetch(`${url}/v1/completions`, { method: "POST", body, signal: abort.signal })
    .then(() => answered = true, () => {});
  while (!answered && await running() === 0);
  const before = await metric(api, "locket_generated_tokens_total");
  abort.abort();
  await left;
  while (await running() > 0);
  assert(await metric(api, "locket_generated_tokens_total") === before, "it was not computed to its end");
  await server.shutdown();
});
