import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import { loadModel, type LoadOptions, type Model } from "../../src/model/engine.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import type { WriteTensor } from "../gguf/writer.ts";
import { TINY, tinyModel, type TinyOptions } from "./tiny_model.ts";

function load(options: Partial<LoadOptions> = {}, tiny?: TinyOptions): Promise<Model> {
  return loadModel(openSource(tinyModel(tiny)), { kernels: kernelModule, binary: "simd128", ...options });
}

const IDS = Array.from({ length: 100 }, (_, i) => (i * 17 + 5) % TINY.nVocab);

/** The logits after `ids`, in a fresh sequence. */
async function logitsAfter(model: Model, ids: number[]): Promise<Float32Array> {
  const sequence = model.sequence();
  await sequence.prefill(ids);
  const logits = sequence.logits().slice();
  sequence.release();
  return logits;
}

Deno.test("prefill() aborted between layers keeps whole chunks and can go on from there", async () => {
  const model = await load({ chunk: 10, kvType: "f32" });
  const wanted = await logitsAfter(model, IDS);
  const sequence = model.sequence();
  const controller = new AbortController();
  const reason = new Error("enough");
  const onProgress = ({ done }: { done: number }) => done === 30 && controller.abort(reason);
  const error = await assertRejects(() => sequence.prefill(IDS, { signal: controller.signal, onProgress }));
  assertEquals(error, reason);
  assert(sequence.position % 10 === 0 && sequence.position >= 30);
  await sequence.prefill(IDS.slice(sequence.position));
  sequence.logits().forEach((logit, i) => assertAlmostEquals(logit, wanted[i], 1e-5));
});

Deno.test("prefill() with an aborted signal reads nothing", async () => {
  const sequence = (await load()).sequence();
  await assertRejects(() => sequence.prefill(IDS, { signal: AbortSignal.abort("no") }));
  assertEquals(sequence.position, 0);
});

Deno.test("prefill() and decode() give the same logits, bit for bit, token by token", async () => {
  const model = await load({ chunk: 1 });
  const wanted = await logitsAfter(model, IDS);
  const sequence = model.sequence();
  for (const id of IDS) sequence.decode(id);
  assertEquals(sequence.logits(), wanted);
});

Deno.test("calls with bad tokens, too many tokens or none are refused and change nothing", async () => {
  const sequence = (await load({ context: 50 })).sequence();
  for (const id of [-1, TINY.nVocab, 1.5, NaN, "1" as unknown as number]) {
    assertThrows(() => sequence.decode(id), OptionError, "token id");
    await assertRejects(() => sequence.prefill([1, id]), OptionError, "token id");
  }
  await assertRejects(() => sequence.prefill([]), OptionError, "at least one token");
  await assertRejects(() => sequence.prefill(IDS.slice(0, 51)), OptionError, "at most 50 tokens");
  assertEquals(sequence.position, 0);
  await sequence.prefill(IDS.slice(0, 50));
  assertThrows(() => sequence.decode(1), OptionError, "at most 50 tokens");
  assertThrows(() => sequence.truncate(51), OptionError, "position");
  assertEquals(sequence.cache(), { ...sequence.cache(), policy: "full", capacity: 64, slots: 50 });
});

Deno.test("a sequence refuses a second call while one runs, and any after its release", async () => {
  const model = await load();
  const sequence = model.sequence();
  const running = sequence.prefill(IDS);
  assertThrows(() => sequence.decode(1), OptionError, "one call at a time");
  assertThrows(() => sequence.reset(), OptionError, "one call at a time");
  await assertRejects(() => sequence.prefill([1]), OptionError, "one call at a time");
  await running;
  sequence.release();
  sequence.release();
  assertThrows(() => sequence.decode(1), OptionError, "released");
});

Deno.test("a model hands out the planned number of sequences and takes them back", async () => {
  const model = await load({ sequences: 2 });
  const [first] = [model.sequence(), model.sequence()];
  assertThrows(() => model.sequence(), OptionError, "at most 2 at once");
  await first.prefill(IDS);
  first.release();
  assertEquals(model.sequence().position, 0);
  model.dispose();
  assertEquals(model.memoryBytes, 0);
  assertThrows(() => model.sequence(), OptionError, "disposed of");
});

Deno.test("decode() of one sequence between the chunks of another's prefill disturbs neither", async () => {
  const model = await load({ sequences: 2, chunk: 16 });
  const [a, b] = [model.sequence(), model.sequence()];
  const wanted = await logitsAfter(await load({ chunk: 16 }), IDS);
  const decoded = await load({ chunk: 16 });
  const alone = decoded.sequence();
  const prefill = a.prefill(IDS, { onProgress: () => b.decode(7) });
  await prefill;
  for (let i = 0; i < b.position; i++) alone.decode(7);
  assertEquals(a.logits(), wanted);
  assertEquals(b.logits(), alone.logits());
});

Deno.test("score() continues from where the text stands", async () => {
  const model = await load({ kvType: "f32" });
  const whole = model.sequence();
  const all = await whole.score(IDS);
  whole.reset();
  const first = await whole.score(IDS.slice(0, 41));
  whole.truncate(40);
  const second = await whole.score(IDS.slice(40));
  assertEquals(first.tokens + second.tokens, all.tokens);
  assertAlmostEquals(first.nll + second.nll, all.nll, 1e-3);
});

Deno.test("fused query, key and value rows compute what separate ones do", async () => {
  const fuse = (tensors: WriteTensor[]) => {
    const named = (name: string) => tensors.find((tensor) => tensor.name === name)!;
    const rows = ["q", "k", "v"].map((part) => [...named(`blk.0.attn_${part}.weight`).data!]);
    const data = Uint8Array.from(rows.flat());
    return tensors.filter(({ name }) => !/blk.0.attn_[qkv]/.test(name))
      .concat({ name: "blk.0.attn_qkv.weight", type: 0, shape: [TINY.dim, 64], data });
  };
  const fused = await logitsAfter(await load({}, { tensors: fuse }), IDS);
  assertEquals(fused, await logitsAfter(await load(), IDS));
});
