import { assert, assertEquals, assertRejects } from "@std/assert";
import { fading } from "../../examples/own_policy.ts";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import type { LayerCache } from "../../src/memory/handles.ts";
import type { PlanOptions } from "../../src/model/plan.ts";
import { scoreContinuation } from "../../src/model/continuation.ts";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { assertPlanned } from "./planned.ts";

const NAMES = [
  "window",
  "streaming_llm",
  "cascading",
  "h2o",
  "keyformer",
  "keyformer:score=shared",
  "tova",
  "snapkv",
  "pyramidkv",
  "expected_attention",
  "reconstruction",
  "massfold",
  "elastic",
  "keydiff",
  "knorm",
  "random",
];

/** Policies that drop nothing after the prompt. */
const LASTING = ["snapkv", "pyramidkv", "expected_attention", "reconstruction", "massfold"];

Deno.test("under every policy a budget of the whole text changes nothing", async () => {
  const plain = await loadBundled();
  const { tokens: wanted } = await generate(plain, LONG_TEXT, { maxTokens: 24, ignoreEos: true }).result();
  for (const policy of NAMES) {
    for (const prefill of ["whole", "streaming"] as const) {
      const model = await loadBundled({ policy, budget: 768, prefill });
      const { tokens } = await generate(model, LONG_TEXT, { maxTokens: 24, ignoreEos: true }).result();
      assertEquals(tokens, wanted, `${policy}, ${prefill}`);
      model.dispose();
    }
  }
  plain.dispose();
});

Deno.test("a prompt longer than the cache streams through it, and the report tells what is left", async () => {
  const systems: readonly PlanOptions[] = [
    ...[...NAMES, "keyformer:every=8", "h2o:pyramid=4"].map((policy) => ({ policy })),
    { policy: "expected_attention", budgetRule: "adakv", victims: "mass_fold" },
    { policy: "h2o", victims: "mass_fold" },
  ];
  for (const system of systems) {
    const policy = system.policy as string;
    for (const kvType of ["q8_0", { k: "f16", v: "q4_0" }] as const) {
      const model = await loadBundled({ ...system, budget: 64, chunk: 32, kvType });
      const sequence = model.sequence();
      const { tokens, promptTokens } = await generate(sequence, LONG_TEXT, { maxTokens: 20, ignoreEos: true })
        .result();
      assertEquals(tokens.length, 20);
      const report = sequence.cache();
      assert(report.capacity < promptTokens.length, policy);
      assert(report.slots <= report.capacity && report.peakSlots <= report.capacity);
      const read = promptTokens.length + 19;
      const mean = report.kept.reduce((sum, { mean }) => sum + mean, 0) / report.kept.length;
      const held = 64 + (LASTING.includes(policy) ? 19 : policy.endsWith("every=8") ? 3 : 0);
      assert(Math.abs(mean * read - held) < 2, `${policy}: ${mean * read} slots held, ${held} expected`);
      assert(report.kept.every(({ min, mean, max }) => min <= mean && mean <= max && max <= 1));
      assert(report.usedBytes <= report.bytes);
      assertPlanned(model, report);
      model.dispose();
    }
  }
});

Deno.test("bytes in use grow from what is there without a token to all that are allocated", async () => {
  // What each has beside its slots: nothing, rings of exact tokens, clusters.
  for (
    const [system, beside] of [
      [{}, () => 0],
      [{ storage: "kivi:recent=32" }, ({ codec }: LayerCache) => 4 * codec!.length],
      [
        { read: "squeezed:window=16" },
        ({ state }: LayerCache) => Object.values(state!).reduce((sum, { length }) => sum + 4 * length, 0),
      ],
    ] as const
  ) {
    const model = await loadBundled({ ...system, context: 256, chunk: 32 });
    const sequence = model.sequence();
    const layers = model.plan.sequences[0].cache;
    const scratch = Object.values(layers[0].scratch ?? {}).reduce((sum, { length }) => sum + 4 * length, 0);
    const fixed = scratch + layers.reduce((sum, cache) => sum + beside(cache), 0);
    const { bytes, usedBytes } = sequence.cache();
    // Headers of slots, and what rounding to 16 bytes adds.
    const slack = 64 * 4 * layers.length;
    assert(
      usedBytes >= fixed && usedBytes <= fixed + slack,
      `${usedBytes} of nothing, ${fixed} beside slots`,
    );
    let before = usedBytes;
    const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 256);
    for (let start = 0; start < ids.length; start += 32) {
      await sequence.prefill(ids.slice(start, start + 32));
      const after = sequence.cache().usedBytes;
      assert(after > before);
      before = after;
    }
    assertEquals(before, bytes);
    model.dispose();
  }
});

Deno.test("a sequence under a policy can be reset, cut back and continued", async () => {
  const model = await loadBundled({ policy: "keyformer", budget: 48, chunk: 16 });
  const sequence = model.sequence();
  const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 300);
  await sequence.prefill(ids);
  const first = sequence.row.argmax();
  sequence.reset();
  await sequence.prefill(ids);
  assertEquals(sequence.row.argmax(), first);
  sequence.truncate(290);
  assertEquals(sequence.position, 290);
  await sequence.prefill(ids.slice(290));
  for (let i = 0; i < 60; i++) sequence.decode(sequence.row.argmax());
  assertEquals(sequence.cache().slots, 48);
  model.dispose();
});

Deno.test("an abort within a prompt leaves a sequence that can go on", async () => {
  const model = await loadBundled({ policy: "h2o", budget: 48, chunk: 16 });
  const sequence = model.sequence();
  const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 400);
  const control = new AbortController();
  const onProgress = ({ done }: { done: number }) => void (done > 200 && control.abort());
  await assertRejects(() => sequence.prefill(ids, { signal: control.signal, onProgress }));
  assert(sequence.position > 0 && sequence.cache().slots <= 48);
  await sequence.prefill(ids.slice(sequence.position));
  assertEquals(sequence.position, 400);
  assertEquals(sequence.cache().slots, 48);
  model.dispose();
});

Deno.test("sequences under a policy do not disturb each other", async () => {
  const model = await loadBundled({ policy: "keyformer", budget: 40, chunk: 16, sequences: 2 });
  const [a, b] = [model.sequence(), model.sequence()];
  const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 200);
  const alone = async (ids: number[]) => {
    a.reset();
    await a.prefill(ids);
    return Array.from({ length: 12 }, () => {
      const id = a.row.argmax();
      a.decode(id);
      return id;
    });
  };
  const [wantedA, wantedB] = [await alone(ids), await alone(ids.slice(60))];
  a.reset();
  await Promise.all([a.prefill(ids), b.prefill(ids.slice(60))]);
  const [gotA, gotB]: number[][] = [[], []];
  for (let i = 0; i < 12; i++) {
    for (const [sequence, got] of [[a, gotA], [b, gotB]] as const) {
      got.push(sequence.row.argmax());
      sequence.decode(got.at(-1)!);
    }
  }
  assertEquals([gotA, gotB], [wantedA, wantedB]);
  model.dispose();
});

Deno.test("where a policy drops nothing after the prompt, a reply ends when slots do", async () => {
  const model = await loadBundled({ policy: "snapkv:window=8,reserve=10", budget: 22, chunk: 32 });
  const sequence = model.sequence();
  const { tokens, finishReason } = await generate(sequence, LONG_TEXT, { ignoreEos: true }).result();
  // 22 + 32 + 10 slots, of which 22 are taken after the prompt; the last token chosen is not read.
  assertEquals([tokens.length, finishReason], [43, "length"]);
  let error: unknown;
  try {
    sequence.decode(1);
  } catch (thrown) {
    error = thrown;
  }
  assert(error instanceof OptionError);
  model.dispose();
});

Deno.test("a continuation's loss after a reduced beginning is that of decoding", async () => {
  const model = await loadBundled({ policy: "h2o", budget: 0.5 });
  const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 120);
  const sequence = model.sequence();
  const each: number[] = [];
  const loss = await scoreContinuation(sequence, ids.slice(0, 60), ids.slice(60), {
    visit: (nll) => each.push(nll),
  });
  assertEquals(loss.tokens, 60);
  assertEquals(each.length, 60);
  assert(Math.abs(each.reduce((a, b) => a + b) - loss.nll) < 1e-9 && loss.nll > 0);
  assertEquals(sequence.cache().slots, 30);
  model.dispose();
});

Deno.test("a policy written in one TypeScript file runs as it is", async () => {
  const model = await loadBundled({ policy: fading, budget: 40 });
  const sequence = model.sequence();
  await generate(sequence, LONG_TEXT, { maxTokens: 10, ignoreEos: true }).result();
  const { policy, params, slots } = sequence.cache();
  assertEquals([policy, params, slots], ["fading", { decay: 0.95 }, 40]);
  model.dispose();
});
