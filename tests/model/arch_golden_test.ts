/**
 * Small random models of every architecture against the logits that Hugging Face transformers gave for them;
 * `tests/golden/arch/make_arch_golden.py` made both.
 */
import { assert, assertEquals } from "@std/assert";
import { architectures } from "../../src/model/arch/mod.ts";
import { ARCH_CASES, archLogits, loadArch } from "../golden/arch.ts";
import { largestDifference } from "../golden/golden.ts";

/** Largest difference to the logits of transformers, whose standard deviation is 1.1 to 2.1; 1.2e-5 is measured. */
const TOLERANCE = 1e-4;
const CHUNK = 16;

for (const golden of ARCH_CASES) {
  const { name, architecture, ids, positions } = golden;
  for (const binary of ["simd128", "relaxed"] as const) {
    Deno.test(`${name} on ${binary}: logits are those of transformers, by prefill and by decode`, async () => {
      const wanted = await archLogits(golden);
      const check = (logits: Float32Array, row: number, how: string) => {
        const apart = largestDifference(logits, wanted[row]);
        assert(apart < TOLERANCE, `${how} to position ${positions[row]}: logits differ by ${apart}`);
      };
      const model = await loadArch(golden, { binary, kvType: "f32", chunk: CHUNK });
      assertEquals(model.hparams.architecture, architecture);
      const sequence = model.sequence();
      for (const [row, position] of positions.entries()) {
        sequence.reset();
        await sequence.prefill(ids.slice(0, position + 1));
        check(sequence.logits(), row, "prefill");
      }
      sequence.reset();
      for (const [position, id] of ids.entries()) {
        sequence.decode(id);
        const row = positions.indexOf(position);
        if (row >= 0) check(sequence.logits(), row, "decode");
      }
      assertEquals(model.brokenGuards(), []);
      model.dispose();
    });
  }
}

Deno.test("every supported architecture has a golden model", () => {
  const tested = new Set(ARCH_CASES.map(({ architecture }) => architecture));
  for (const name of architectures) assert(tested.has(name), `${name} has none`);
});
