/** Who reads sets the pace: slow readers, readers that leave, aborts, and the event loop's turns. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { generate } from "../../src/generate.ts";
import type { GenerateOptions } from "../../src/generate/options.ts";
import { collect, loadBundled, LONG_TEXT } from "./bundled.ts";

const model = await loadBundled({ sequences: 3, chunk: 32 });
const PROMPT = "She looked out of the window and";

const reply = (options: GenerateOptions) => generate(model, PROMPT, options).result();

Deno.test("generate() computes nothing before it is read, and one token per read", async () => {
  const generation = generate(model, PROMPT, { maxTokens: 50 });
  const iterator = generation[Symbol.asyncIterator]();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(generation.tokens.length, 0);
  for (let n = 1; n <= 3; n++) {
    await iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(generation.tokens.length, n);
  }
  await iterator.return!();
});

Deno.test("a slow reader of the stream slows the model, and one that leaves stops it", async () => {
  const generation = generate(model, PROMPT, { maxTokens: 500, temperature: 1, seed: 1 });
  const reader = generation.textStream.getReader();
  let text = "";
  for (let n = 0; n < 3; n++) {
    text += (await reader.read()).value;
    await new Promise((resolve) => setTimeout(resolve, 10));
    assertEquals(model.tokenizer.decode(generation.tokens), text);
  }
  await reader.cancel();
  const { tokens, finishReason } = await generation.result();
  assertEquals([tokens, finishReason], [generation.tokens, "abort"]);
  assert(tokens.length < 20);
});

Deno.test("leaving the loop gives the sequence back", async () => {
  for (let n = 0; n < 5; n++) {
    for await (const _ of generate(model, PROMPT)) break;
  }
  const sequences = [model.sequence(), model.sequence(), model.sequence()];
  sequences.forEach((sequence) => sequence.release());
});

Deno.test("an abort rejects with its reason within one token", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const generation = generate(model, PROMPT, { signal: controller.signal });
  let seen = 0;
  const error = await assertRejects(async () => {
    for await (const _ of generation) if (++seen === 5) controller.abort(reason);
  });
  assertEquals([error, seen], [reason, 5]);
  assertEquals(await assertRejects(() => generation.result()), reason);
  assertEquals(await assertRejects(() => generation.result()), reason);
});

Deno.test("an abort from outside is seen although nobody else gets the thread", async () => {
  const signal = AbortSignal.timeout(1);
  const generation = generate(model, PROMPT, { signal, ignoreEos: true });
  const error = await assertRejects(() => generation.result());
  assertEquals(error, signal.reason);
});

Deno.test("an abort ends the prompt too, and gives the sequence back", async () => {
  const prompt = model.tokenizer.encode(LONG_TEXT).slice(0, 480);
  for (let n = 0; n < 4; n++) {
    const controller = new AbortController();
    const reason = new Error("too long");
    let read = 0;
    const onPrefill = ({ done }: { done: number }) => {
      read = done;
      if (done >= 64) controller.abort(reason);
    };
    const generation = generate(model, prompt, { signal: controller.signal, onPrefill });
    assertEquals(await assertRejects(() => collect(generation.textStream)), reason);
    assertEquals(read, 64);
    assertEquals(generation.tokens, []);
  }
});

Deno.test("a reader that leaves during the prompt stops it", async () => {
  const prompt = model.tokenizer.encode(LONG_TEXT).slice(0, 480);
  let read = 0;
  const generation = generate(model, prompt, { onPrefill: ({ done }) => read = done });
  const reader = generation.textStream.getReader();
  reader.read().catch(() => {});
  await reader.cancel();
  assert(read < 480);
  assertEquals((await generation.result()).finishReason, "abort");
});

Deno.test("cancel() ends a loop that runs elsewhere, and nothing rejects", async () => {
  for (const prompt of [PROMPT, LONG_TEXT.slice(0, 1500)]) {
    const generation = generate(model, prompt, { ignoreEos: true });
    setTimeout(() => generation.cancel(), 2);
    const events = await collect(generation);
    const { tokens, finishReason } = await generation.result();
    assertEquals([tokens.length, finishReason], [events.length, "abort"]);
  }
});

Deno.test("a signal aborted beforehand rejects before anything is computed", async () => {
  const error = await assertRejects(() =>
    reply({ signal: AbortSignal.abort("never mind") }).catch((reason) => {
      throw new Error(reason);
    })
  );
  assertEquals((error as Error).message, "never mind");
});

Deno.test("the event loop gets its turn during a long generation", async () => {
  const generation = generate(model, LONG_TEXT.slice(0, 400), { maxTokens: 300, ignoreEos: true }).result();
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await generation;
  clearInterval(timer);
  assert(turns > 0);
});

Deno.test("a generation that has failed fails again, however it is read", async () => {
  const gone = new Error("gone");
  const stop = new AbortController();
  const generation = generate(model, PROMPT, { maxTokens: 50, signal: stop.signal });
  await assertRejects(
    async () => {
      for await (const _ of generation) stop.abort(gone);
    },
    Error,
    "gone",
  );
  const again = [
    () => collect(generation),
    () => collect(generation),
    () => generation.result(),
    () => generation.textStream.getReader().read(),
  ];
  for (const read of again) assertEquals(await assertRejects(read), gone);
});
