/**
 * Generations that run side by side share the steps of decoding, and each gives what it would give alone: whenever they
 * come, however fast they are read, whoever leaves.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import { generateAll } from "../../src/generate/generate_all.ts";
import type { GenerateOptions } from "../../src/generate/options.ts";
import type { Binary } from "../../src/kernels/load.ts";
import { loadBundled, LONG_TEXT } from "./bundled.ts";

const PROMPTS = ["The old house", "It was late", LONG_TEXT.slice(0, 150), "She looked out of the window and"];
const OPTIONS: readonly GenerateOptions[] = [
  { maxTokens: 20 },
  { maxTokens: 24, temperature: 1, seed: 3 },
  { maxTokens: 12, temperature: 0.8, topK: 20, seed: 5, repetitionPenalty: 1.3 },
  { maxTokens: 30, temperature: 0.7, topP: 0.9, seed: 8, logprobs: 2 },
  { maxTokens: 16, temperature: 1, seed: 1, jsonSchema: { type: "array", items: { type: "integer" } } },
];

/** A reply that is asked for at some time, read at some pace, and perhaps left before its end. */
interface Job {
  readonly prompt: number;
  readonly options: number;
  /** Milliseconds before it begins and before each of its first reads; 0 is at once. */
  readonly after: number;
  readonly pauses: readonly number[];
  readonly leaves: number | undefined;
  readonly aborts: boolean;
}

const JOB: fc.Arbitrary<Job> = fc.record({
  prompt: fc.nat(PROMPTS.length - 1),
  options: fc.nat(OPTIONS.length - 1),
  after: fc.nat(8),
  pauses: fc.array(fc.constantFrom(0, 0, 0, 1, 3), { maxLength: 6 }),
  leaves: fc.option(fc.integer({ min: 1, max: 10 }), { nil: undefined }),
  aborts: fc.boolean(),
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const binary of ["simd128", "relaxed"] satisfies Binary[]) {
  for (const load of [{}, { policy: "keyformer", budget: 24, kvType: "q4_0" }] as const) {
    const name = `${binary}, ${load.policy ?? "full"}`;
    Deno.test(`${name}: replies side by side are those of one at a time`, async () => {
      const shape = { context: 128, chunk: 16, binary, ...load };
      const [model, other] = [await loadBundled({ ...shape, sequences: 4 }), await loadBundled(shape)];
      const alone = new Map<string, readonly number[]>();
      const wanted = async ({ prompt, options }: Job) => {
        const key = `${prompt} ${options}`;
        const known = alone.get(key);
        if (known !== undefined) return known;
        const { tokens } = await generate(other, PROMPTS[prompt], OPTIONS[options]).result();
        alone.set(key, tokens);
        return tokens;
      };
      const run = async ({ prompt, options, after, pauses, leaves, aborts }: Job) => {
        if (after > 0) await sleep(after);
        const abort = new AbortController();
        const generation = generate(model, PROMPTS[prompt], { ...OPTIONS[options], signal: abort.signal });
        const ids: number[] = [];
        try {
          for await (const { id } of generation) {
            ids.push(id);
            const pause = pauses[ids.length] ?? 0;
            if (pause > 0) await sleep(pause);
            if (ids.length !== leaves) continue;
            if (!aborts) break;
            abort.abort("left");
          }
        } catch (error) {
          assertEquals(error, "left");
        }
        return ids;
      };
      await fc.assert(
        fc.asyncProperty(fc.array(JOB, { minLength: 1, maxLength: 4 }), async (jobs) => {
          const replies = await Promise.all(jobs.map(run));
          for (const [i, job] of jobs.entries()) {
            const tokens = await wanted(job);
            assertEquals(replies[i], tokens.slice(0, Math.min(job.leaves ?? Infinity, tokens.length)));
          }
          assertEquals(model.freeSequences, 4);
        }),
        { numRuns: 15 },
      );
      assertEquals(model.brokenGuards(), []);
    });
  }
}

const model = await loadBundled({ sequences: 4, chunk: 32 });

Deno.test("generations side by side take one step for a token of each", async () => {
  const before = model.steps;
  const options = { maxTokens: 41, ignoreEos: true };
  await Promise.all(PROMPTS.map((prompt) => generate(model, prompt, options).result()));
  const [steps, tokens] = [model.steps.steps - before.steps, model.steps.tokens - before.tokens];
  assertEquals(tokens, 4 * 40);
  // the first replies begin while later prompts are read
  assert(steps < 80, `${steps} steps for 40 tokens each`);
});

Deno.test("a slow reader holds up nobody", async () => {
  const slow = generate(model, PROMPTS[0], { maxTokens: 400, ignoreEos: true });
  const fast = generate(model, PROMPTS[1], { maxTokens: 200, ignoreEos: true });
  let done = false;
  let read = 0;
  const reading = (async () => {
    for await (const _ of slow) {
      if (done) break;
      read++;
      await sleep(20);
    }
  })();
  const { tokens } = await fast.result();
  done = true;
  await reading;
  assertEquals(tokens.length, 200);
  assert(read < 100, `${read} tokens were read meanwhile`);
});

Deno.test("replies go on while a prompt is read, and a waiting prompt can be left", async () => {
  const reply = generate(model, PROMPTS[0], { ignoreEos: true })[Symbol.asyncIterator]();
  await reply.next();
  let during = 0;
  let reading = true;
  const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 600);
  const long = generate(model, ids, { maxTokens: 1 }).result().finally(() => reading = false);
  const abort = new AbortController();
  const waiting = generate(model, ids, { signal: abort.signal }).result()
    .catch((reason) => reason);
  while (reading) {
    await reply.next();
    if (++during !== 2) continue;
    abort.abort("left");
    assertEquals(await waiting, "left");
    assert(reading, "it was waited for a prompt that nobody wants");
  }
  assert(during > 2);
  await reply.return!();
  await long;
  assertEquals(model.freeSequences, 4);
});

Deno.test("one that is moved by something else fails alone", async () => {
  const [sequence, other] = [model.sequence(), model.sequence()];
  const [one, two] = [generate(sequence, PROMPTS[0]), generate(other, PROMPTS[1], { maxTokens: 20 })];
  const iterator = one[Symbol.asyncIterator]();
  const result = two.result();
  await iterator.next();
  sequence.decode(5);
  await assertRejects(() => iterator.next(), OptionError, "left alone");
  assertEquals((await result).tokens, (await generate(model, PROMPTS[1], { maxTokens: 20 }).result()).tokens);
  sequence.release();
  other.release();
});

Deno.test("a sequence that waits for its step is not to be touched", async () => {
  const [sequence, other] = [model.sequence(), model.sequence()];
  for (const each of [sequence, other]) await each.prefill([5, 6, 7]);
  await Promise.all([sequence.step(8), other.step(8)]);
  const waiting = sequence.step(9)!;
  for (
    const act of [
      () => sequence.reset(),
      () => sequence.decode(9),
      () => model.decode([other, sequence], [1, 2]),
    ]
  ) {
    assertThrows(act, OptionError, "busy");
  }
  await Promise.all([waiting, other.step(9)]);
  assertEquals(sequence.logits(), other.logits());
  assertEquals([sequence.position, other.position], [5, 5]);
  sequence.release();
  other.release();
});

Deno.test("generateAll() gives each prompt's own reply in order, whatever the number of sequences", async () => {
  const prompts = Array.from({ length: 11 }, (_, i) => PROMPTS[i % 4] + " and".repeat(i >> 2));
  const options = { maxTokens: 10, temperature: 0.9, seed: 4 };
  const before = model.steps;
  const all = await Array.fromAsync(generateAll(model, prompts, options));
  assert(model.steps.tokens - before.tokens > 2 * (model.steps.steps - before.steps));
  for (const [i, prompt] of prompts.entries()) {
    const { tokens, text, finishReason } = await generate(model, prompt, options).result();
    assertEquals([all[i].tokens, all[i].text, all[i].finishReason], [tokens, text, finishReason]);
  }
  assertEquals(all.length, 11);
});

Deno.test("generateAll() refuses before it computes, and ends with its reader and by its signal", async () => {
  const long = Array(800).fill(5);
  assertThrows(() => generateAll(model, ["The", long]), OptionError, "prompt");
  assertThrows(() => generateAll(model, ["The"], { logitBias: { 999999: 1 } }), OptionError, "logitBias");
  assertEquals(await Array.fromAsync(generateAll(model, [])), []);

  for await (const { tokens } of generateAll(model, PROMPTS, { maxTokens: 300 })) {
    assert(tokens.length > 0);
    break;
  }
  assertEquals(model.freeSequences, 4);
  const signal = AbortSignal.timeout(5);
  const many = Array.from({ length: 50 }, () => PROMPTS[0]);
  const error = await assertRejects(() => Array.fromAsync(generateAll(model, many, { signal })));
  assertEquals(error, signal.reason);
  assertEquals(model.freeSequences, 4);
  const taken = Array.from({ length: 4 }, () => model.sequence());
  await assertRejects(() => generateAll(model, PROMPTS).next(), OptionError, "at most 4 at once");
  taken.forEach((sequence) => sequence.release());
});
