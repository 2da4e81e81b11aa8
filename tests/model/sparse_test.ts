/** Prompts whose attention is computed of and over the tokens alone that matter. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import type { LoadOptions } from "../../src/model/engine.ts";
import { scoreContinuation } from "../../src/model/continuation.ts";
import type { LoadModelOptions } from "../../src/runtime/load_model.ts";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { ARCH_CASES, loadArch } from "../golden/arch.ts";
import { assertClose } from "../policy/golden.ts";
import { checkGoingOn } from "../snapshot/going_on.ts";

/** Keeps whatever gets any attention. */
const ALL = { policy: "zipvl:tau=1,reserve=64", budget: 1, prefill: "sparse" } as const;

/** Logits behind a prompt, and what is held of it. */
async function read(ids: readonly number[], options: LoadModelOptions) {
  const model = await loadBundled({ chunk: 48, ...options });
  const sequence = model.sequence();
  const done: number[] = [];
  await sequence.prefill(ids, { onProgress: (progress) => done.push(progress.done) });
  const logits = sequence.logits().slice();
  const held = sequence.cacheContents().map(([head]) => [...(head?.positions ?? [])]);
  const report = sequence.cache();
  assertEquals(model.brokenGuards(), []);
  assertEquals(done.at(-1), ids.length);
  assertEquals(done, done.toSorted((a, b) => a - b));
  model.dispose();
  return { logits, held, report };
}

const model = await loadBundled();
const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 230);
model.dispose();

Deno.test("sparse: when all tokens matter, a prompt reads as without a policy, to the last bit", async () => {
  for (const binary of ["simd128", "relaxed"] as const) {
    const full = await read(ids, { binary });
    const sparse = await read(ids, { binary, ...ALL });
    // In the last layer some get nothing but rounding.
    for (const held of sparse.held.slice(0, -1)) assertEquals(held, [...ids.keys()]);
    assertEquals(sparse.logits, full.logits);
  }
});

Deno.test("sparse: when the last token alone matters, it reads as if it were the text", async () => {
  const sparse = await read(ids, { ...ALL, budget: 1.5 / ids.length, kvType: "f32" });
  assertEquals(new Set(sparse.held.flat()), new Set([ids.length - 1]));
  const alone = await read(ids.slice(-1), { kvType: "f32" });
  // Rotations by 229 in place of 0 cancel but for their rounding.
  assertClose([...sparse.logits], [...alone.logits], 1e-3, "logits");
});

Deno.test("sparse: the first layer keeps what it keeps of a dense prompt, and its cache is no larger than planned", async () => {
  const policy = "zipvl:tau=0.8,reserve=32";
  const whole = await read(ids, { policy, budget: 1, prefill: "whole" });
  const sparse = await read(ids, { policy, budget: 1, prefill: "sparse" });
  assertEquals(sparse.held[0], whole.held[0]);
  assert(new Set(sparse.held.map((held) => held.length)).size > 1, "all layers keep as many");
  const capped = await read(ids, { policy, budget: 60, prefill: "sparse" });
  assert(capped.held.every((held) => held.length <= 60 && held.at(-1) === ids.length - 1));
  assertEquals(capped.report.capacity, 160);
  assert(capped.report.bytes < whole.report.bytes / 4);
});

Deno.test("sparse: a text goes on after such a prompt, with steps and a prompt that streams", async () => {
  for (const policy of ["zipvl:tau=0.999,reserve=128", "zipvl:others=demote,tau=1,block=40"]) {
    const model = await loadBundled({ policy, budget: 1, prefill: "sparse", chunk: 32 });
    const plain = await loadBundled({ chunk: 32 });
    const loss = async (from: typeof model) => {
      const sequence = from.sequence();
      await sequence.prefill(ids);
      const { nll, tokens } = await scoreContinuation(sequence, ids.slice(0, 50), ids.slice(50, 100));
      assertEquals(from.brokenGuards(), []);
      return nll / tokens;
    };
    const [got, wanted] = [await loss(model), await loss(plain)];
    assert(got < wanted + 0.5, `${policy}: ${got} nats, without ${wanted}`);
    model.dispose();
    plain.dispose();
  }
});

Deno.test("sparse: with all rows, over the tokens that matter, a text reads nearly as without a policy", async () => {
  const options = { budget: 1, prefill: "sparse" } as const;
  const full = await read(ids, {});
  const all = await read(ids, { ...options, policy: "zipvl:rows=all,tau=1,reserve=64" });
  assertEquals(all.logits, full.logits);
  const some = await read(ids, { ...options, policy: "zipvl:rows=all,tau=0.97,reserve=64" });
  const kept = await read(ids, { ...options, policy: "zipvl:tau=0.97,reserve=64" });
  assertEquals(some.held[0], kept.held[0]);
  const apart = ({ logits }: { logits: Float32Array }) =>
    Math.hypot(...logits.map((x, i) => x - full.logits[i])) / Math.hypot(...full.logits);
  assert(apart(some) < apart(kept), `${apart(some)}, ${apart(kept)}`);
});

Deno.test("sparse: demoted tokens stay, in the bytes of the plan; those that matter are those that stay otherwise", async () => {
  const policy = (others: string) => `zipvl:others=${others},tau=0.8,reserve=32`;
  const drop = await read(ids, { policy: policy("drop"), budget: 1, prefill: "sparse" });
  const demote = await read(ids, { policy: policy("demote"), budget: 1, prefill: "sparse" });
  assertEquals(demote.held, drop.held.map(() => [...ids.keys()]));
  // The prompt's own attention is exact, whatever becomes of it later.
  assertEquals(demote.logits, drop.logits);
});

Deno.test("sparse: abort leaves an empty sequence, in which a prompt reads as in a new one", async () => {
  const model = await loadBundled({ ...ALL, chunk: 32 });
  const sequence = model.sequence();
  const abort = new AbortController();
  const onProgress = () => abort.abort(new Error("enough"));
  await assertRejects(() => sequence.prefill(ids, { signal: abort.signal, onProgress }), Error, "enough");
  assertEquals(sequence.position, 0);
  await sequence.prefill(ids);
  assertEquals(sequence.logits(), (await read(ids, { ...ALL, chunk: 32 })).logits);
  model.dispose();
});

for (const others of ["drop", "demote"]) {
  Deno.test(`sparse, others ${others}: restored, a sequence goes on as if it had never stopped`, () =>
    checkGoingOn({ policy: `zipvl:others=${others},block=16,reserve=128`, budget: 0.6, prefill: "sparse" }));
}

for (const golden of ARCH_CASES) {
  Deno.test(`sparse: ${golden.name} reads a prompt in which all tokens matter to the same bits, or is refused`, async () => {
    const run = async (options: Partial<LoadOptions>) => {
      const model = await loadArch(golden, { chunk: 8, ...options });
      const sequence = model.sequence();
      await sequence.prefill(golden.ids);
      const logits = sequence.logits().slice();
      assertEquals(model.brokenGuards(), []);
      model.dispose();
      return logits;
    };
    try {
      assertEquals(await run(ALL), await run({}));
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      assert(error.message.includes("feed-forward"), error.message);
    }
  });
}

Deno.test("sparse goes with what it can serve alone", async () => {
  const refused = (options: LoadModelOptions, message: string) =>
    assertRejects(() => loadBundled({ prefill: "sparse", budget: 0.5, ...options }), OptionError, message);
  await refused({ policy: "h2o" }, "ranks tokens by attention over all");
  await refused({ policy: "zipvl", read: "quest" }, "all keys");
  await refused({ policy: "zipvl", storage: "think" }, "plain or mixed");
  await refused({ policy: "zipvl", positions: "compact" }, "original positions");
  await refused({ policy: "zipvl", storage: "mixed" }, "demotes");
  await refused({ policy: "zipvl:others=demote", storage: "plain" }, "mixed");
  await refused({ policy: "zipvl:others=demote", budget: "1kB" }, "bytes at least");
});
