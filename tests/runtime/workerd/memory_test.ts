/**
 * A model that fills an isolate, within its 128 MB: SmolLM2-135M's shape in Q4_0 out of R2, 2,048 tokens of prompt and 256
 * new ones; and 8,000 tokens of which a policy keeps 1,024. Local workerd enforces no limit, so the sum of WebAssembly
 * memory, heap and buffers is the gate.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { type HeapUsage, HeapWatch } from "../../tools/heap.ts";
import { hasWorkerd, serveWorker } from "../../tools/worker.ts";
import type { LoadModelOptions } from "../../../mod.ts";
import { smolModel } from "./smol_model.ts";

/** What an isolate may take before the platform ends it is 128 MB; the rest is the runtime's. */
const BUDGET_BYTES = 110e6;

/** All that V8 has taken for objects, collected or not, and every buffer but WebAssembly memory. */
const heapBytes = ({ totalSize, embedderHeapUsedSize, backingStorageSize }: HeapUsage) =>
  totalSize + embedderHeapUsedSize + backingStorageSize;

/** The model's end of text. */
const END = 49151;

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

interface Case {
  readonly name: string;
  readonly load: LoadModelOptions;
  readonly promptTokens: number;
  readonly newTokens: number;
}

const CASES: readonly Case[] = [
  {
    name: "2,048 tokens and 256 new ones, all kept",
    load: { context: 2304, kvType: "q4_0" },
    promptTokens: 2048,
    newTokens: 256,
  },
  {
    name: "8,000 tokens and 64 new ones, 1,024 slots kept by keyformer",
    load: { context: 8192, policy: "keyformer", budget: 1024, prefill: "streaming", kvType: "q4_0" },
    promptTokens: 8000,
    newTokens: 64,
  },
];

const ignore = !await hasWorkerd();

for (const { name, load, promptTokens, newTokens } of CASES) {
  Deno.test({ name: `SmolLM2-135M's shape in workerd within 110 MB: ${name}`, ignore }, async () => {
    const file = await Deno.makeTempFile({ suffix: ".gguf" });
    await Deno.writeFile(file, smolModel());
    try {
      const entry = new URL("../../../examples/worker-r2/worker.js", import.meta.url);
      await using worker = await serveWorker(entry, {
        compatibilityFlags: ["enable_request_signal"],
        bindings: { MODEL_KEY: "model.gguf", LOAD: load },
        r2: { MODELS: { "model.gguf": file } },
      });
      await using heap = await HeapWatch.open(worker.inspector);
      const startMs = await timed(`${worker.url}healthz`);
      const cold = await ask(worker.url, [1], 1);
      const { usage, firstMs, lastMs } = await ask(worker.url, range(promptTokens), newTokens);
      assertEquals([usage.prompt_tokens, usage.completion_tokens], [promptTokens, newTokens]);
      const metrics = await (await fetch(`${worker.url}metrics`)).text();
      const memoryBytes = Number(/^locket_memory_bytes (\d+)$/m.exec(metrics)![1]);
      const peak = Math.max(...heap.samples.map(heapBytes));
      const memory = `WebAssembly ${mb(memoryBytes)} + heap and buffers ${mb(peak)} = ${
        mb(memoryBytes + peak)
      } at most`;
      const eachMs = (lastMs - firstMs) / (newTokens - 1);
      console.log(
        `      ${memory}, ${heap.samples.length} looks; first answer ${startMs.toFixed()} ms, ` +
          `loading to first token ${cold.firstMs.toFixed()} ms, prompt to first token ${firstMs.toFixed()} ms, ` +
          `then ${eachMs.toFixed(1)} ms a token`,
      );
      assert(heap.samples.length > 100, "the heap was hardly looked at");
      assert(memoryBytes + peak < BUDGET_BYTES);
    } finally {
      await Deno.remove(file);
    }
  });
}

const range = (n: number) => Array.from({ length: n }, (_, i) => (i * 7919) % 49_000);

/** The time that an answer takes, in ms. */
async function timed(url: string): Promise<number> {
  const start = performance.now();
  await (await fetch(url)).body?.cancel();
  return performance.now() - start;
}

/** Times are those of the client. */
async function ask(url: string, prompt: readonly number[], maxTokens: number) {
  const start = performance.now();
  const response = await fetch(`${url}v1/completions`, {
    method: "POST",
    headers: { "accept-encoding": "identity" },
    body: JSON.stringify({
      ...{
        prompt,
        max_tokens: maxTokens,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      },
      // random weights might choose the end
      logit_bias: { [END]: -100 },
    }),
  });
  let firstMs = 0;
  let text = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    if (piece.includes("data: ")) firstMs ||= performance.now() - start;
    text += piece;
  }
  const events = text.split("\n\n").filter((event) => event.startsWith("data: {"));
  const { usage } = JSON.parse(events.at(-1)!.slice(6));
  return { usage, firstMs, lastMs: performance.now() - start };
}
