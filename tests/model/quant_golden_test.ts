import { assert } from "@std/assert";
import { loadModel } from "../../src/model/engine.ts";
import type { Binary } from "../../src/kernels/load.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { goldenFloats, goldenJson, largestDifference, rmsDifference } from "../golden/golden.ts";
import { quantModel, type QuantShape, type QuantType } from "./quant_model.ts";

interface Golden {
  shape: QuantShape;
  ids: number[];
  positions: number[];
  types: QuantType[];
}

/** Types of floats meet f32 activations: nothing but f32 sums differs from exact arithmetic. */
const FLOAT_TOLERANCE = 2e-5;
/**
 * How much larger our distance from the exact logits may be than llama.cpp's. Both round activations to int8, each
 * differently: the distances are two draws of one noise. K types have theirs rounded in blocks of 256 by llama.cpp
 * and of 32 here, so ours is smaller there.
 */
const NOISE_RATIO = 1.5;
/** Two independent errors of which one is up to 1.5 times the other lie √(1 + 1.5²) apart. */
const APART_RATIO = 1.9;

const { shape, ids, positions, types } = await goldenJson<Golden>("quant_logits/cases.json");
const all = await goldenFloats("quant_logits/logits.f32");
const size = positions.length * shape.nVocab;

/** Our logits after each of `positions`, one row behind the other. */
async function logits(type: QuantType, binary: Binary): Promise<Float32Array> {
  const source = openSource(quantModel(shape, type));
  const model = await loadModel(source, { kernels: kernelModule, kvType: "f32", binary });
  const sequence = model.sequence();
  const rows = new Float32Array(size);
  for (const [i, position] of positions.entries()) {
    await sequence.prefill(ids.slice(sequence.position, position + 1));
    rows.set(sequence.logits(), i * shape.nVocab);
  }
  model.dispose();
  return rows;
}

for (const [i, type] of types.entries()) {
  const exact = all.subarray(2 * i * size, (2 * i + 1) * size);
  const llamaCpp = all.subarray((2 * i + 1) * size, (2 * i + 2) * size);

  for (const binary of ["simd128", "relaxed"] as const) {
    Deno.test(`${type.type} weights on ${binary}: logits are as near to exact ones as llama.cpp's`, async () => {
      const found = await logits(type, binary);
      if (type.fields === null) {
        const off = largestDifference(found, exact);
        assert(off < FLOAT_TOLERANCE, `off by ${off}`);
      } else {
        const theirs = rmsDifference(llamaCpp, exact);
        const ours = rmsDifference(found, exact);
        const apart = rmsDifference(found, llamaCpp);
        assert(ours < NOISE_RATIO * theirs, `off by ${ours}, llama.cpp by ${theirs}`);
        assert(apart < APART_RATIO * theirs, `${apart} from llama.cpp, whose error is ${theirs}`);
      }
    });
  }
}
