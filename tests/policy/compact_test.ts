/** Compact positions: keys rotated when they are read, by their place in the cache. */
import { assert, assertRejects } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import { loadModel } from "../../src/runtime/load_model.ts";
import { BUNDLED } from "../generate/bundled.ts";
import { checkGoingOn } from "../snapshot/going_on.ts";
import { ARCH_CASES, archLogits, loadArch } from "../golden/arch.ts";
import { largestDifference } from "../golden/golden.ts";

for (const golden of ARCH_CASES) {
  const { name, ids, positions } = golden;
  Deno.test(`${name}: while nothing has left, compact positions give the logits of transformers`, async () => {
    const wanted = await archLogits(golden);
    const options = { policy: "window", budget: ids.length + 1, positions: "compact" } as const;
    for (const binary of ["simd128", "relaxed"] as const) {
      const load = () => loadArch(golden, { kvType: "f32", chunk: 8, binary, ...options });
      if (name === "gpt2" || name.startsWith("cerebras")) {
        await assertRejects(load, OptionError, "learned positions");
        continue;
      }
      const model = await load();
      const sequence = model.sequence();
      await sequence.prefill(ids.slice(0, 3));
      for (let i = 3; i < ids.length; i++) {
        sequence.decode(ids[i]);
        const row = positions.indexOf(i);
        if (row < 0) continue;
        const apart = largestDifference(sequence.logits(), wanted[row]);
        assert(apart < 1e-4, `position ${i}: logits differ by ${apart}`);
      }
      model.dispose();
    }
  });
}

/** The bundled model with another context than its own in its metadata. */
async function withContext(context: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await Deno.readFile(BUNDLED);
  const key = new TextEncoder().encode("llama.context_length");
  const at = bytes.findIndex((_, i) => key.every((byte, j) => bytes[i + j] === byte));
  new DataView(bytes.buffer).setUint32(at + key.length + 4, context, true);
  return bytes;
}

const BOOKS = new URL("../../../shared/data/text/books-valid.txt.gz", import.meta.url);
const present = await Deno.stat(BOOKS).then(() => true, () => false);
if (!present) console.warn("%cshared/data/text is absent: the test of endless text is SKIPPED", "color: red");

Deno.test({
  name:
    "a text of five contexts stays as good as its start at compact positions, and gets worse at original ones",
  ignore: !present,
  fn: async () => {
    const unpacked = (await Deno.open(BOOKS)).readable.pipeThrough(new DecompressionStream("gzip"));
    const text = (await new Response(unpacked).text()).slice(20_000, 75_000);
    const bundled = await Deno.readFile(BUNDLED);
    /** Loss of each stretch of 1,024 tokens, the model's context. */
    const losses = async (file: Uint8Array<ArrayBuffer>, positions: "compact" | "original") => {
      const options = { policy: "h2o", budget: 256, context: 5120, outputRows: 16 } as const;
      const model = await loadModel(file, { ...options, positions });
      const sequence = model.sequence();
      const ids = model.tokenizer.encode(text);
      const means: number[] = [];
      for (let start = 0; start < 5120; start += 1024) {
        const { nll, tokens } = await sequence.score(ids.slice(start, start + 1024));
        means.push(nll / tokens);
      }
      model.dispose();
      return means;
    };
    await assertRejects(() => losses(bundled, "original"), OptionError, "context");
    const compact = await losses(bundled, "compact");
    const original = await losses(await withContext(5120), "original");
    assert(compact.every(Number.isFinite));
    const [early, late, lateOriginal] = [compact.slice(0, 1), compact.slice(2), original.slice(2)]
      .map((means) => means.reduce((a, b) => a + b) / means.length);
    assert(late < early + 0.2, `loss ${late} after ${early}`);
    assert(late < lateOriginal - 0.02, `loss ${late}, at original positions ${lateOriginal}`);
  },
});

Deno.test("a text beyond the model's context needs a cache within it", async () => {
  const load = (options: object) => loadModel(BUNDLED, { context: 4096, policy: "window", ...options });
  await assertRejects(() => load({ budget: 512 }), OptionError, "context is 4096");
  await assertRejects(() => load({ budget: 2048, positions: "compact" }), OptionError, "budget");
  await assertRejects(
    () => load({ budget: 512, positions: "compact", prefill: "whole" }),
    OptionError,
    "budget",
  );
});

for (const policy of ["h2o", "streaming_llm", "cascading:sinks=2"]) {
  Deno.test(`${policy} at compact positions: restored, a sequence goes on as if it had never stopped`, () =>
    checkGoingOn({ policy, budget: 64, positions: "compact" }));
}
