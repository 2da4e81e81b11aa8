/**
 * What of a prompt is not computed again, and what a policy does to that.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { POLICIES } from "../../src/cache/policies/mod.ts";
import { OptionError } from "../../src/error.ts";
import { Session } from "../../src/session/session.ts";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { testServer } from "../server/serve.ts";

/** Policies whose defaults want a larger budget than the tests give. */
const SMALLER: Record<string, string> = { corm: "corm:window=16,recent=16" };

for (const { name } of POLICIES) {
  Deno.test(`under ${name}, a prompt that begins with the whole text so far is read from there on`, async () => {
    const policy = SMALLER[name] ?? name;
    const rules = name === "full" ? {} : { policy, budget: 48, chunk: 32 };
    const model = await loadBundled({ context: 512, ...rules });
    const session = new Session(model.sequence());
    const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 150);
    const ask = async (prompt: readonly number[]) => {
      await (await session.generate(prompt, { maxTokens: 5, ignoreEos: true })).result();
      return session.reusedTokens;
    };
    assertEquals(await ask(ids), 0);
    const { tokens } = session;
    // The last token of the reply was chosen and not read.
    assertEquals(await ask([...tokens, ...ids.slice(0, 9)]), tokens.length - 1);
    // A text that branches off earlier can be cut only where everything was kept.
    assertEquals(await ask([...ids, 7, 8]), name === "full" ? ids.length : 0);
    assertEquals(await ask([...ids, 7, 8]), name === "full" ? ids.length + 1 : 0);
    assertEquals(await ask([5, 6, 7]), 0);
    model.dispose();
  });
}

Deno.test("a cache that has no slots left for the next prompt is read anew, not overrun", async () => {
  const model = await loadBundled({
    policy: "snapkv:window=8,reserve=10",
    budget: 22,
    chunk: 32,
    context: 512,
  });
  const ids = model.tokenizer.encode(LONG_TEXT);
  const session = new Session(model.sequence());
  // 22 + 32 + 10 slots make 64, of which 22 and 40 are taken.
  await (await session.generate(ids.slice(0, 100), { maxTokens: 41, ignoreEos: true })).result();
  const text = session.tokens;
  assertEquals(session.sharedWith([...text, 5]), text.length - 1);
  assertEquals(session.sharedWith([...text, 5, 6]), 0);
  const { tokens } = await (await session.generate([...text, 5, 6], { maxTokens: 3 })).result();
  assertEquals([tokens.length, session.reusedTokens], [3, 0]);
  model.dispose();

  const alone = (await loadBundled({ policy: "snapkv:window=8,reserve=10", budget: 22, chunk: 32 }))
    .sequence();
  await alone.prefill(ids.slice(0, 100));
  for (let i = 0; i < 40; i++) alone.decode(5);
  await assertRejects(() => alone.prefill(ids.slice(0, 32)), OptionError, "2 free");
  await alone.prefill(ids.slice(0, 2));
});

Deno.test("the API reports reuse as cached_tokens, under a policy too", async () => {
  for (const policy of ["full", "keyformer"]) {
    const rules = policy === "full" ? {} : { policy, budget: 48, chunk: 32 };
    await using server = await testServer({}, { context: 512, ...rules });
    const ids = server.model.tokenizer.encode(LONG_TEXT).slice(0, 100);
    const cached = async (prompt: readonly number[], more = {}) => {
      const body = { prompt, max_tokens: 1, temperature: 0, ...more };
      const { usage } = await (await server.post("/v1/completions", body)).json();
      assertEquals(usage.prompt_tokens, prompt.length);
      return usage.prompt_tokens_details.cached_tokens;
    };
    assertEquals(await cached(ids), 0);
    assertEquals(await cached([...ids, 9, 10]), 100);
    assertEquals(await cached([...ids, 9, 11]), policy === "full" ? 101 : 0);
    assertEquals(await cached([...ids, 9, 11, 12], { cache_prompt: false }), 0);
  }
});
