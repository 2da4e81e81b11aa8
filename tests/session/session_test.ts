import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import { Session } from "../../src/session/session.ts";
import { loadBundled } from "../generate/bundled.ts";

const model = await loadBundled({ context: 128, sequences: 2 });

Deno.test("Session gives what a fresh sequence gives, whatever it held before", async () => {
  const session = new Session(model.sequence());
  // Few different ids, so that prefixes are often shared.
  const prompts = fc.array(fc.integer({ min: 300, max: 301 }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(prompts, fc.nat(4), async (prompt, read) => {
      const options = { maxTokens: 4, temperature: 1, seed: 3 };
      const generation = await session.generate(prompt, options);
      const iterator = generation[Symbol.asyncIterator]();
      for (let i = 0; i < read; i++) await iterator.next();
      const fresh = await generate(model, prompt, options).result();
      assertEquals(generation.tokens, fresh.tokens.slice(0, read));
    }),
    { numRuns: 60 },
  );
});

Deno.test("Session goes on with a reply that was ended as if it had not been: draws and penalties too", async () => {
  const model = await loadBundled({ context: 128, sequences: 2 });
  const [whole, halved] = [new Session(model.sequence()), new Session(model.sequence())];
  const sampling = { temperature: 1.2, repetitionPenalty: 1.3, presencePenalty: 0.5, ignoreEos: true };
  const prompt = model.tokenizer.encode("The old house");
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 11 }), async (seed, cut) => {
      const options = { ...sampling, seed };
      const { tokens } = await (await whole.generate(prompt, { ...options, maxTokens: 12 })).result();
      const before = await (await halved.generate(prompt, { ...options, maxTokens: cut })).result();
      const after = await halved.generate([...prompt, ...before.tokens], { ...options, maxTokens: 12 - cut });
      assertEquals([...before.tokens, ...(await after.result()).tokens], tokens);
    }),
    { numRuns: 20 },
  );
  model.dispose();
});

Deno.test("Session reads only what follows the shared prefix", async () => {
  const alone = await loadBundled({ context: 128 });
  const session = new Session(alone.sequence());
  const first = await (await session.generate([300, 301, 302], { maxTokens: 6 })).result();
  const next = [300, 301, 302, ...first.tokens, 303];
  const { promptTokens } = await (await session.generate(next, { maxTokens: 2 })).result();
  // All but the reply's last token, which was chosen and never read, and what is new.
  assertEquals(session.reusedTokens, next.length - 2);
  assertEquals(promptTokens, next.slice(-2));
  await (await session.generate([300, 301, 302], { maxTokens: 1 })).result();
  assertEquals(session.reusedTokens, 2);
  await (await session.generate([9], { maxTokens: 1 })).result();
  assertEquals(session.reusedTokens, 0);
});

Deno.test("Session survives a prompt that is too long", async () => {
  const alone = await loadBundled({ context: 32 });
  const session = new Session(alone.sequence());
  await (await session.generate([5, 6, 7], { maxTokens: 2 })).result();
  await assertRejects(() => session.generate(new Array(33).fill(5)), OptionError);
  const { tokens } = await (await session.generate([5, 6, 7], { maxTokens: 2 })).result();
  assertEquals(
    tokens,
    (await generate(await loadBundled({ context: 32 }), [5, 6, 7], { maxTokens: 2 }).result()).tokens,
  );
});
