import { assert, assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import type { Binary } from "../../src/kernels/load.ts";
import type { PlanOptions } from "../../src/model/plan.ts";
import { loadModel } from "../../src/runtime/load_model.ts";

const BUNDLED = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const TEXTS = [
  "It was the best of times, it was the worst of times, it was the age of",
  "Call me Ishmael. Some years ago",
  "The sea was calm, and the captain, who had not slept for two nights, looked at",
];

const CACHES: readonly PlanOptions[] = [
  {},
  { kvType: "q4_0" },
  { policy: "keyformer", budget: 12, kvType: "f32" },
  { policy: "h2o:recent=4", budget: 12 },
];

for (const binary of ["simd128", "relaxed"] satisfies Binary[]) {
  for (const options of CACHES) {
    const name = `${options.policy ?? "full"}, ${options.kvType ?? "q8_0"}`;
    Deno.test(`${name} on ${binary}: tokens of several sequences at once give the bits of one at a time`, async () => {
      const load = () => loadModel(BUNDLED, { context: 64, sequences: 4, binary, ...options });
      const [apart, together] = [await load(), await load()];
      const open = (model: typeof apart) =>
        Promise.all(TEXTS.map(async (text) => {
          const sequence = model.sequence();
          await sequence.prefill(model.tokenizer.encode(text));
          return sequence;
        }));
      const [ones, batch] = [await open(apart), await open(together)];
      for (let step = 0; step < 20; step++) {
        // A different choice and order of sequences in every step.
        const chosen = [2, 0, 1].filter((i) => (step + i) % 3 !== 0 || step % 2 === 0);
        const ids = chosen.map((i) => ones[i].row.argmax());
        chosen.forEach((i, at) => ones[i].decode(ids[at]));
        together.decode(chosen.map((i) => batch[i]), ids);
        for (const i of chosen) assertEquals(batch[i].logits(), ones[i].logits());
      }
      assertEquals(batch.map(({ position }) => position), ones.map(({ position }) => position));
      assertEquals(together.brokenGuards(), []);
    });
  }
}

Deno.test("a batch with one token that can't be read is refused and changes nothing", async () => {
  const model = await loadModel(BUNDLED, { context: 16, sequences: 2 });
  const [one, other] = [model.sequence(), model.sequence()];
  await one.prefill([1, 2, 3]);
  await other.prefill([1, 2, 3]);
  const before = [...one.logits()];
  for (
    const [sequences, ids] of [
      [[], []],
      [[one, one], [4, 5]],
      [[one, other], [4]],
      [[one, other], [4, model.hparams.nVocab]],
    ] as const
  ) assertThrows(() => model.decode(sequences, ids), OptionError);
  assertEquals([one.position, other.position], [3, 3]);
  assertEquals([...one.logits()], before);
  const stranger = (await loadModel(BUNDLED, { context: 16 })).sequence();
  assertThrows(() => model.decode([one, stranger], [4, 5]), OptionError);
  model.decode([one, other], [4, 4]);
  assert(one.logits().every((logit, i) => logit === other.logits()[i]));
});
