// llama.cpp, native, one thread, through node-llama-cpp. Prints one JSON object:
//   node native.mjs MODEL --prefill 512,2000 --decode 512,2000 [--steps 48] [--kv f16|q8_0]
// {"prefill": {"512": tokens/s, ...}, "decode": {"512": tokens/s, ...}, "version": "..."}
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const { values: flags, positionals: [modelPath] } = parseArgs({
  allowPositionals: true,
  options: {
    prefill: { type: "string", default: "512" },
    decode: { type: "string", default: "512" },
    steps: { type: "string", default: "48" },
    kv: { type: "string", default: "f16" },
  },
});
const lengths = (text) => text.split(",").filter(Boolean).map(Number);
const prefills = lengths(flags.prefill),
  decodes = lengths(flags.decode),
  steps = Number(flags.steps);
const longest = Math.max(...prefills, ...decodes) + steps + 8;

const llama = await getLlama({
  gpu: false,
  build: "never",
  logLevel: LlamaLogLevel.error,
  progressLogs: false,
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: longest,
  batchSize: 512,
  threads: { ideal: 1, min: 1 },
  flashAttention: true,
  experimentalKvCacheKeyType: flags.kv === "q8_0" ? "Q8_0" : "F16",
  experimentalKvCacheValueType: flags.kv === "q8_0" ? "Q8_0" : "F16",
});
const sequence = context.getSequence();
// The same ids for every engine: byte tokens, never a special one.
const tokens = (n) => Array.from({ length: n }, (_, i) => 1 + (i * 7919) % 200);

const report = {
  prefill: {},
  decode: {},
  version: JSON.parse(
    readFileSync(
      new URL("node_modules/node-llama-cpp/package.json", import.meta.url),
    ),
  ).version,
  kv: flags.kv,
};
await sequence.evaluateWithoutGeneratingNewTokens(tokens(64)); // warm-up
for (const n of prefills) {
  await sequence.clearHistory();
  const began = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(tokens(n));
  report.prefill[n] = n / ((performance.now() - began) / 1000);
}
for (const n of decodes) {
  await sequence.clearHistory();
  let left = steps, began = 0;
  for await (
    const _ of sequence.evaluate(tokens(n), {
      temperature: 0,
      yieldEogToken: true,
    })
  ) {
    if (began === 0) began = performance.now(); // the first token comes with the prompt
    else if (--left === 0) break;
  }
  report.decode[n] = (steps - left) / ((performance.now() - began) / 1000);
}
report.peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(JSON.stringify(report));
await llama.dispose();
