/**
 * Embeddings against the mean of the last hidden states that Hugging Face transformers gave for the golden models;
 * `tests/golden/arch/make_embeddings_golden.py` made them.
 */
import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import { ARCH_CASES, loadArch } from "../golden/arch.ts";
import { goldenJson } from "../golden/golden.ts";

const wanted = await goldenJson<Record<string, number[]>>("arch/embeddings.json");

for (const binary of ["simd128", "relaxed"] as const) {
  Deno.test(`embeddings are the reference's for every golden model, by any chunk, on ${binary}`, async () => {
    for (const golden of ARCH_CASES) {
      for (const chunk of [7, 64]) {
        const model = await loadArch(golden, { binary, chunk, kvType: "f32" });
        const vector = await model.embed(golden.ids);
        assertEquals(vector.length, wanted[golden.name].length);
        vector.forEach((x, i) => assertAlmostEquals(x, wanted[golden.name][i], 1e-5, `${golden.name}, ${i}`));
        assertEquals(model.brokenGuards(), []);
        model.dispose();
      }
    }
  });
}

Deno.test("two texts at once keep apart, an aborted one leaves nothing behind", async () => {
  const [golden] = ARCH_CASES;
  const model = await loadArch(golden, { chunk: 4, sequences: 3, kvType: "f32" });
  const { ids } = golden;
  const alone = [await model.embed(ids), await model.embed(ids.slice(3))];
  const abort = new AbortController();
  const [first, second, aborted] = await Promise.allSettled([
    model.embed(ids),
    model.embed(ids.slice(3)),
    model.embed(ids, { signal: abort.signal, onProgress: () => abort.abort() }),
  ]);
  assertEquals([first, second], alone.map((value) => ({ status: "fulfilled", value })));
  assertEquals(aborted.status, "rejected");
  assertEquals(await model.embed(ids), alone[0]);
  await assertRejects(() => model.embed([]), OptionError);
  await assertRejects(() => model.embed(Array(model.plan.context + 1).fill(1)), OptionError);
  await assertRejects(() => model.embed([99]), OptionError);
});
