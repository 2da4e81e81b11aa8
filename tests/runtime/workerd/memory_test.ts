/**
 * A model that fills an isolate, within its 128 MB: SmolLM2-135M's shape in Q4_0 out of R2, 2,048 tokens of prompt and 256
 * new ones. Local workerd enforces no limit, so the sum of WebAssembly memory, heap and buffers is the gate.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { type HeapUsage, HeapWatch } from "../../tools/heap.ts";
import { hasWorkerd, serveWorker } from "../../tools/worker.ts";
import { smolModel } from "./smol_model.ts";

/** What an isolate may take before the platform ends it is 128 MB; the rest is the runtime's. */
const BUDGET_BYTES = 110e6;

/** All that V8 has taken for objects, collected or not, and every buffer but WebAssembly memory. */
const heapBytes = ({ totalSize, embedderHeapUsedSize, backingStorageSize }: HeapUsage) =>
  totalSize + embedderHeapUsedSize + backingStorageSize;

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

Deno.test({
  name: "SmolLM2-135M's shape answers 2,048 + 256 tokens in workerd within 110 MB",
  ignore: !await hasWorkerd(),
  async fn() {
    const file = await Deno.makeTempFile({ suffix: ".gguf" });
    await Deno.writeFile(file, smolModel());
    try {
      const entry = new URL("memory_worker.js", import.meta.url);
      await using worker = await serveWorker(entry, { r2: { MODELS: { "model.gguf": file } } });
      await using heap = await HeapWatch.open(worker.inspector);
      const cold = await ask(worker.url, [1], 1);
      const { ids, memoryBytes, firstMs, lastMs } = await ask(worker.url, range(2048), 256);
      assertEquals(ids.length, 256);
      const peak = Math.max(...heap.samples.map(heapBytes));
      console.log(
        `      WebAssembly ${mb(memoryBytes)} + heap and buffers ${mb(peak)} = ${
          mb(memoryBytes + peak)
        } at most, ` +
          `${heap.samples.length} looks; cold start to first token ${cold.firstMs.toFixed()} ms, 2,048 tokens to first ` +
          `token ${firstMs.toFixed()} ms, then ${((lastMs - firstMs) / 255).toFixed(1)} ms a token`,
      );
      assert(heap.samples.length > 100, "the heap was hardly looked at");
      assert(memoryBytes + peak < BUDGET_BYTES);
    } finally {
      await Deno.remove(file);
    }
  },
});

const range = (n: number) => Array.from({ length: n }, (_, i) => (i * 7919) % 49_000);

/** Times are those of the client. */
async function ask(url: string, prompt: readonly number[], maxTokens: number) {
  const load = { context: 2304, kvType: "q4_0", maxBytes: BUDGET_BYTES };
  const start = performance.now();
  const response = await fetch(url, {
    method: "POST",
    headers: { "accept-encoding": "identity" },
    body: JSON.stringify({ prompt, maxTokens, load }),
  });
  let firstMs = 0;
  let text = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    firstMs ||= performance.now() - start;
    text += piece;
  }
  const lines = text.trim().split("\n");
  const memoryBytes = Number(lines.pop()!.split(" ")[1]);
  return { ids: lines.map(Number), memoryBytes, firstMs, lastMs: performance.now() - start };
}
