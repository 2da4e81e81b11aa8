/**
 * Embeddings against the mean of the last hidden states that Hugging Face transformers gave for the golden models;
 * `tests/golden/arch/make_embeddings_golden.py` made them.
 */
import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { loadModel, type LoadOptions, type Model } from "../../src/model/engine.ts";
import { OptionError } from "../../src/error.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { goldenJson, goldenPacked } from "../golden/golden.ts";

interface Case {
  readonly name: string;
  readonly ids: number[];
  readonly context?: number;
}

const cases = await goldenJson<Case[]>("arch/cases.json");
const wanted = await goldenJson<Record<string, number[]>>("arch/embeddings.json");

async function load({ name, context }: Case, options: Partial<LoadOptions>): Promise<Model> {
  const file = await goldenPacked(`arch/${name}.gguf.gz`);
  return await loadModel(openSource(file), { kernels: kernelModule, context, kvType: "f32", ...options });
}

for (const binary of ["simd128", "relaxed"] as const) {
  Deno.test(`embeddings are the reference's for every golden model, by any chunk, on ${binary}`, async () => {
    for (const golden of cases) {
      for (const chunk of [7, 64]) {
        const model = await load(golden, { binary, chunk });
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
  const model = await load(cases[0], { chunk: 4, sequences: 3 });
  const { ids } = cases[0];
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
