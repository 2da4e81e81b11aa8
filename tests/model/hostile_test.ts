import { assert } from "@std/assert";
import fc from "fast-check";
import {
  GgufError,
  MemoryBudgetError,
  OptionError,
  SourceError,
  UnsupportedModelError,
} from "../../src/error.ts";
import { loadModel } from "../../src/model/engine.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { tinyModel } from "./tiny_model.ts";

const TYPED = [GgufError, MemoryBudgetError, OptionError, SourceError, UnsupportedModelError];

/** Loads and runs a file; says of what kind its refusal was, or fails on anything else than a typed error. */
async function outcome(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  try {
    const model = await loadModel(openSource(bytes), {
      kernels: () => modules,
      binary: "simd128",
      maxBytes: 64e6,
    });
    const sequence = model.sequence();
    await sequence.prefill([0, 1, 2].filter((id) => id < model.hparams.nVocab));
    sequence.decode(0);
    assert(model.brokenGuards().length === 0, "a guard is broken");
    return "runs";
  } catch (error) {
    assert(TYPED.some((type) => error instanceof type), `an untyped error: ${(error as Error).stack}`);
    return (error as Error).name;
  }
}

const modules = kernelModule("simd128");
const sound = tinyModel();
// the header takes the first tenth of the file; the rest are weights, where any byte is a number
const headerBytes = sound.length - 2 * 4 * (32 * 32 * 2 + 32 * 16 * 2 + 32 * 64 * 3) - 32 * 40 * 4;

Deno.test("a model with any bytes of its header changed runs or is refused with a typed error", async () => {
  const change = fc.tuple(fc.nat(headerBytes), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const bytes = sound.slice();
      for (const [at, value] of changes) bytes[at] = value;
      await outcome(bytes);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("a model with weights of any bits, NaN among them, runs", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 64, maxLength: 64 }), async (noise) => {
      const bytes = sound.slice();
      for (let i = headerBytes + 1024; i < bytes.length; i++) bytes[i] = noise[i % 64];
      assert(await outcome(bytes) === "runs");
    }),
    { numRuns: 100 },
  );
});
