import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import type { GenerateOptions } from "../../src/generate/options.ts";
import { collect, loadBundled, LONG_TEXT } from "./bundled.ts";

const model = await loadBundled({ sequences: 3, chunk: 32 });
const PROMPT = "She looked out of the window and";
const { eosId } = model.tokenizer;

const reply = (options: GenerateOptions, prompt: string | number[] = PROMPT) =>
  generate(model, prompt, options).result();

Deno.test("generate() gives the same as events, as text and as result", async () => {
  const options = { maxTokens: 40, temperature: 1, seed: 5 };
  const generation = generate(model, PROMPT, options);
  const events = await collect(generation);
  const result = await generation.result();
  assertEquals(events.map(({ id }) => id), result.tokens);
  assertEquals(events.map(({ text }) => text).join(""), result.text);
  assertEquals(result.finishReason, "length");
  assertEquals(result.promptTokens, model.tokenizer.encode(PROMPT));
  const pieces = await collect(generate(model, PROMPT, options).textStream);
  assert(pieces.every((piece) => piece !== ""));
  assertEquals(pieces.join(""), result.text);
});

Deno.test("generate() takes text and its ids alike", async () => {
  const ids = model.tokenizer.encode(PROMPT);
  assertEquals((await reply({ maxTokens: 10 }, ids)).tokens, (await reply({ maxTokens: 10 })).tokens);
});

Deno.test("generate() at temperature 0 takes the largest logit at each step", async () => {
  const { tokens } = await reply({ maxTokens: 12 });
  const sequence = model.sequence();
  await sequence.prefill(model.tokenizer.encode(PROMPT));
  for (const id of tokens) {
    const logits = sequence.logits();
    assertEquals(id, logits.indexOf(Math.max(...logits)));
    sequence.decode(id);
  }
  sequence.release();
});

Deno.test("generate() draws the same tokens for the same seed, and others for another", async () => {
  const options = { maxTokens: 30, temperature: 1.2, topP: 0.95, seed: 9 };
  const first = await reply(options);
  assertEquals((await reply(options)).tokens, first.tokens);
  assert((await reply({ ...options, seed: 10 })).tokens.join() !== first.tokens.join());
});

Deno.test("generate() draws the same tokens however sequences interleave", async () => {
  const all: GenerateOptions[] = [
    { maxTokens: 8, temperature: 1, seed: 1 },
    { maxTokens: 8, temperature: 1.5, topK: 20, seed: 2, repetitionPenalty: 1.2 },
    { maxTokens: 8, logprobs: 3, logitBias: { 100: -1 } },
  ];
  const alone: (readonly number[])[] = [];
  for (const options of all) alone.push((await reply(options)).tokens);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 30 }), async (order) => {
      const generations = all.map((options) => generate(model, PROMPT, options));
      const iterators = generations.map((generation) => generation[Symbol.asyncIterator]());
      for (const i of order) await iterators[i].next();
      const results = await Promise.all(generations.map((generation) => generation.result()));
      assertEquals(results.map(({ tokens }) => tokens), alone);
    }),
    { numRuns: 10 },
  );
});

Deno.test("generate() ends before a stop string, wherever it lies in the tokens", async () => {
  const { text, tokens } = await reply({ maxTokens: 30, temperature: 0.8, seed: 3 });
  for (let start = 1; start < text.length - 3; start += 7) {
    for (const length of [1, 2, 7]) {
      const stop = text.slice(start, start + length);
      const generation = generate(model, PROMPT, { maxTokens: 30, temperature: 0.8, seed: 3, stop });
      const events = await collect(generation);
      const wanted = text.slice(0, text.indexOf(stop));
      assertEquals(events.map((event) => event.text).join(""), wanted, `stop ${JSON.stringify(stop)}`);
      const result = await generation.result();
      assertEquals(result.text, wanted);
      assertEquals(result.finishReason, "stop");
      assertEquals(result.tokens, tokens.slice(0, result.tokens.length));
    }
  }
});

Deno.test("generate() gives out text held back for a stop string that never came", async () => {
  const { text } = await reply({ maxTokens: 20 });
  const stop = `${text.slice(-4)}\u0000`;
  assertEquals((await reply({ maxTokens: 20, stop })).text, text);
});

Deno.test("generate() ends at the model's end and at stop tokens, and goes on with ignoreEos", async () => {
  const toEnd = { logitBias: { [eosId!]: 100 }, maxTokens: 5 };
  const ended = await reply(toEnd);
  assertEquals([ended.tokens, ended.text, ended.finishReason], [[eosId!], "", "stop"]);
  const ignored = await reply({ ...toEnd, ignoreEos: true });
  assertEquals([ignored.tokens.length, ignored.finishReason], [5, "length"]);
  const { tokens } = await reply({ maxTokens: 10 });
  const stopped = await reply({ maxTokens: 10, stopTokens: [tokens[4]] });
  assertEquals(stopped.tokens, tokens.slice(0, tokens.indexOf(tokens[4]) + 1));
  assertEquals(stopped.finishReason, "stop");
});

Deno.test("generate() ends when the context is full", async () => {
  const small = await loadBundled({ context: 32 });
  const prompt = model.tokenizer.encode(LONG_TEXT).slice(0, 30);
  const { tokens, finishReason } = await generate(small, prompt, { ignoreEos: true }).result();
  assertEquals([tokens.length, finishReason], [3, "length"]);
  assertThrows(() => generate(small, [...prompt, 1, 2, 3]), OptionError, "at most the 32");
});

Deno.test("generate() tells the log-probabilities of the whole vocabulary", async () => {
  const generation = generate(model, PROMPT, { maxTokens: 6, temperature: 1, seed: 2, logprobs: 20 });
  const events = await collect(generation);
  const sequence = model.sequence();
  await sequence.prefill(model.tokenizer.encode(PROMPT));
  for (const { id, logprobs } of events) {
    const logits = Float64Array.from(sequence.logits());
    const best = Math.max(...logits);
    const logSumExp = best + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - best), 0));
    assertAlmostEquals(logprobs!.logprob, logits[id] - logSumExp, 1e-4);
    assertEquals(logprobs!.top.length, 20);
    for (const { id, logprob } of logprobs!.top) assertAlmostEquals(logprob, logits[id] - logSumExp, 1e-4);
    assert(logprobs!.top.every(({ logprob }, i, top) => i === 0 || logprob <= top[i - 1].logprob));
    sequence.decode(id);
  }
  sequence.release();
  assertEquals((await collect(generate(model, PROMPT, { maxTokens: 1 })))[0].logprobs, undefined);
});

Deno.test("generate() penalises by the whole text, in lists longer than one piece", async () => {
  const prompt = Array.from({ length: 600 }, (_, i) => i + 1);
  const { tokens } = await reply({ maxTokens: 20, presencePenalty: 100 }, prompt);
  assertEquals(new Set([...prompt, ...tokens]).size, prompt.length + tokens.length);
});

Deno.test("generate() appends to a sequence and leaves the reply in it", async () => {
  const sequence = model.sequence();
  const first = await generate(sequence, PROMPT, { maxTokens: 5 }).result();
  // The last token was chosen and not read.
  assertEquals(sequence.position, first.promptTokens.length + 4);
  const more = [first.tokens[4], ...model.tokenizer.encode(" and then", { addSpecial: false })];
  const second = await generate(sequence, more, { maxTokens: 5 }).result();
  sequence.release();
  const whole = await reply({ maxTokens: 5 }, [...first.promptTokens, ...first.tokens.slice(0, 4), ...more]);
  assertEquals(second.tokens, whole.tokens);
});

Deno.test("generate() refuses a sequence that something else moves", async () => {
  const sequence = model.sequence();
  const generation = generate(sequence, PROMPT, { maxTokens: 9 });
  await generation[Symbol.asyncIterator]().next();
  sequence.decode(1);
  await assertRejects(() => generation.result(), OptionError, "left alone");
  sequence.release();
});

Deno.test("generate() refuses bad options before anything is computed, by name", () => {
  const bad: [GenerateOptions, string][] = [
    [{ maxTokens: 0 }, "maxTokens"],
    [{ maxTokens: 1.5 }, "maxTokens"],
    [{ stop: "" }, "stop"],
    [{ stop: ["a", ""] }, "stop"],
    [{ stopTokens: [model.hparams.nVocab] }, "stopTokens"],
    [{ logprobs: 21 }, "logprobs"],
    [{ temperature: -1 }, "temperature"],
    [{ logitBias: { [model.hparams.nVocab]: 1 } }, "logitBias"],
  ];
  for (const [options, name] of bad) {
    assertEquals(assertThrows(() => generate(model, PROMPT, options), OptionError).option, name);
  }
  assertEquals(assertThrows(() => generate(model, []), OptionError).option, "prompt");
  assertEquals(assertThrows(() => generate(model, [-1]), OptionError).option, "prompt");
  assertEquals(assertThrows(() => generate(model, [0.5]), OptionError).option, "prompt");
});

Deno.test("generate() from no text starts where any text does", async () => {
  const { promptTokens } = await reply({ maxTokens: 1 }, "");
  assertEquals(promptTokens, [model.tokenizer.bosId ?? eosId!]);
});
