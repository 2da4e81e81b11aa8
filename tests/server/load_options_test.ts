/**
 * The request field `locket`: what the server was started with may be named, anything else is refused.
 */
import { assert, assertEquals } from "@std/assert";
import { testServer } from "./serve.ts";

Deno.test("what memory was planned for can be named and not changed", async () => {
  await using full = await testServer();
  await using small = await testServer({}, { policy: "keyformer:tauInit=1", budget: 64, kvType: "f16" });
  const cases: [api: typeof full, locket: unknown, param: string | null][] = [
    [full, {}, null],
    [full, { policy: "full", kv_type: "q8_0", budget: null }, null],
    [full, { policy: "keyformer" }, "locket.policy"],
    [full, { policy: "none such" }, "locket.policy"],
    [full, { budget: 0.5 }, "locket.budget"],
    [full, { kv_type: "f16" }, "locket.kv_type"],
    [full, { kv_type: { k: "q8_0", v: "f16" } }, "locket.kv_type"],
    [full, { turbo: true }, "locket.turbo"],
    [small, { policy: "keyformer", budget: 64, kv_type: "f16" }, null],
    [small, { policy: "keyformer:tauInit=1", budget: "64", kv_type: { k: "f16", v: "f16" } }, null],
    [small, { policy: "keyformer:tauInit=2" }, "locket.policy"],
    [small, { policy: "full" }, "locket.policy"],
    [small, { policy: "h2o" }, "locket.policy"],
    [small, { budget: 65 }, "locket.budget"],
    [small, { budget: "sixty" }, "locket.budget"],
  ];
  const bodies = {
    "/v1/completions": { prompt: "It was late", max_tokens: 2 },
    "/v1/chat/completions": { messages: [{ role: "user", content: "It was late" }], max_tokens: 2 },
    "/v1/embeddings": { input: "It was late" },
  };
  for (const [api, locket, param] of cases) {
    for (const [path, body] of Object.entries(bodies)) {
      const response = await api.post(path, { ...body, locket });
      const { error } = await response.json();
      assertEquals(
        [response.status, error?.param ?? null],
        [param === null ? 200 : 400, param],
        JSON.stringify(locket),
      );
    }
  }
  const response = await small.post("/v1/completions", {
    ...bodies["/v1/completions"],
    locket: { policy: "h2o" },
  });
  const { error } = await response.json();
  assert(/allows keyformer, or keyformer:.*tauInit=1/.test(error.message), error.message);
});
