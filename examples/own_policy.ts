/**
 * A cache policy of one's own, in one file and without building anything: every token's score fades, so that what was
 * looked at lately counts more than what was looked at often.
 *
 *   deno run --allow-read examples/own_policy.ts
 */
import { generate, loadModel, type Policy } from "../mod.ts";

/** Keeps the first token, the 16 latest, and those with most attention of late. */
export const fading: Policy = {
  name: "fading",
  params: { decay: 0.95 },
  minBudget: 18,
  scores: "kvHead",
  promptRows: "all",
  steps: true,
  observe: (layer) => layer.add({ decay: 0.95 }),
  reduce: (layer) => layer.keep({ budget: layer.budget, sinks: 1, recent: 16 }),
};

if (import.meta.main) {
  const model = await loadModel(new URL("../models/locket-books-q8_0.gguf", import.meta.url), {
    policy: fading,
    budget: 64,
  });
  const sequence = model.sequence();
  const prompt = "The rain had stopped before the morning came, and nobody spoke of it again. ".repeat(8);
  const { text } = await generate(sequence, prompt, { maxTokens: 32 }).result();
  const { slots, capacity, bytes } = sequence.cache();
  console.log(
    `${text}\n\n${sequence.position} tokens read, ${slots} of ${capacity} slots in use, ${bytes} bytes`,
  );
  model.dispose();
}
