/**
 * Small random models of every architecture against the logits that Hugging Face transformers gave for them;
 * `tests/golden/arch/make_arch_golden.py` made both.
 */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { loadModel, type LoadOptions, type Model } from "../../src/model/engine.ts";
import { architectures } from "../../src/model/arch/mod.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";

interface Case {
  name: string;
  architecture: string;
  nVocab: number;
  ids: number[];
  /** Of the rows of logits that were kept. */
  positions: number[];
  context?: number;
}

const folder = new URL("../golden/arch/", import.meta.url);
const cases: Case[] = JSON.parse(await Deno.readTextFile(new URL("cases.json", folder)));

async function load({ name, context }: Case, options: Partial<LoadOptions>): Promise<Model> {
  const packed = await Deno.open(new URL(`${name}.gguf.gz`, folder));
  const file = packed.readable.pipeThrough(new DecompressionStream("gzip"));
  return await loadModel(openSource(file), { kernels: kernelModule, context, kvType: "f32", ...options });
}

async function wantedLogits({ name, nVocab, positions }: Case): Promise<Float32Array[]> {
  const { buffer } = await Deno.readFile(new URL(`${name}.logits`, folder));
  return positions.map((_, row) => new Float32Array(buffer, 4 * row * nVocab, nVocab));
}

function assertLogits(found: Float32Array, wanted: Float32Array, where: string): void {
  found.forEach((logit, id) => assertAlmostEquals(logit, wanted[id], 2e-3, `${where}, token ${id}`));
}

for (const golden of cases) {
  for (const binary of ["simd128", "relaxed"] as const) {
    Deno.test(`${golden.name} on ${binary}: logits are the reference's, by prefill in chunks and by decode`, async () => {
      const model = await load(golden, { binary, chunk: 16 });
      const wanted = await wantedLogits(golden);
      assertEquals(model.hparams.architecture, golden.architecture);
      const sequence = model.sequence();
      for (const [row, position] of golden.positions.entries()) {
        sequence.reset();
        await sequence.prefill(golden.ids.slice(0, position + 1));
        assertLogits(sequence.logits(), wanted[row], `prefill of ${position + 1}`);
      }
      sequence.reset();
      for (const [position, id] of golden.ids.entries()) {
        sequence.decode(id);
        const row = golden.positions.indexOf(position);
        if (row >= 0) assertLogits(sequence.logits(), wanted[row], `decode at ${position}`);
      }
      assertEquals(model.brokenGuards(), []);
    });
  }
}

Deno.test("every supported architecture has a golden model", () => {
  const tested = new Set(cases.map((golden) => golden.architecture));
  for (const name of architectures) assert(tested.has(name), `${name} has none`);
});
