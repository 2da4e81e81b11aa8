import { assert } from "@std/assert";
import { loadModel, type LoadOptions, type Model } from "../../src/model/engine.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { goldenFloats, goldenJson, goldenPacked, largestDifference } from "../golden/golden.ts";

/** A model of tests/golden/arch/ and the positions of its prompt whose logits are stored. */
interface Case {
  name: string;
  nVocab: number;
  ids: number[];
  positions: number[];
  /** To load with, where the model chooses its rotary factors by it. */
  context?: number;
}

/** Largest difference to the logits of transformers, whose standard deviation is 1.1 to 2.1; 1.2e-5 is measured. */
const TOLERANCE = 1e-4;
const CHUNK = 16;

for (const { name, nVocab, ids, positions, context } of await goldenJson<Case[]>("arch/cases.json")) {
  const load = async (options: Partial<LoadOptions>): Promise<Model> => {
    const source = openSource(await goldenPacked(`arch/${name}.gguf.gz`));
    return loadModel(source, { kernels: kernelModule, kvType: "f32", context, ...options });
  };
  const check = (logits: Float32Array, golden: Float32Array, row: number, how: string) => {
    const apart = largestDifference(logits, golden.subarray(row * nVocab, (row + 1) * nVocab));
    assert(apart < TOLERANCE, `${how} to position ${positions[row]}: logits differ by ${apart}`);
  };

  for (const binary of ["simd128", "relaxed"] as const) {
    Deno.test(`${name} on ${binary}: logits are those of transformers, by prefill and by decode`, async () => {
      const golden = await goldenFloats(`arch/${name}.logits`);
      const model = await load({ binary, chunk: CHUNK });
      const sequence = model.sequence();
      for (const [row, position] of positions.entries()) {
        sequence.reset();
        await sequence.prefill(ids.slice(0, position + 1));
        check(sequence.logits(), golden, row, "prefill");
      }
      sequence.reset();
      await sequence.prefill(ids.slice(0, 1));
      if (positions[0] === 0) check(sequence.logits(), golden, 0, "prefill");
      for (let i = 1; i < ids.length; i++) {
        sequence.decode(ids[i]);
        const row = positions.indexOf(i);
        if (row >= 0) check(sequence.logits(), golden, row, "decode");
      }
      model.dispose();
    });
  }
}
