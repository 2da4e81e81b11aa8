// onnxruntime-web, WASM backend, one thread, in Node, on the model that make_onnx.py writes. Prints one JSON object like native.mjs:
//   node onnx.mjs MODEL.onnx --prefill 512 --decode 512 [--steps 16] [--layers 30]
import * as ort from "onnxruntime-web";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const { values: flags, positionals: [modelPath] } = parseArgs({
  allowPositionals: true,
  options: {
    prefill: { type: "string", default: "512" },
    decode: { type: "string", default: "512" },
    steps: { type: "string", default: "16" },
    layers: { type: "string", default: "30" },
  },
});
const lengths = (text) => text.split(",").filter(Boolean).map(Number);
const nLayers = Number(flags.layers),
  nKvHeads = 3,
  headDim = 64,
  steps = Number(flags.steps);
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const session = await ort.InferenceSession.create(readFileSync(modelPath), {
  executionProviders: ["wasm"],
  graphOptimizationLevel: "all",
});

const empty = () => {
  const past = {};
  for (let layer = 0; layer < nLayers; layer++) {
    for (const part of ["k", "v"]) {
      past[`past_${part}_${layer}`] = new ort.Tensor(
        "float32",
        new Float32Array(0),
        [1, nKvHeads, 0, headDim],
      );
    }
  }
  return past;
};
/** Feeds ids behind `length` cached tokens; returns the cache that the next call takes. */
async function feed(ids, past, length) {
  const total = length + ids.length;
  const outputs = await session.run({
    input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [
      1,
      ids.length,
    ]),
    seqlens_k: new ort.Tensor("int32", Int32Array.of(total - 1), [1]),
    total: new ort.Tensor("int32", Int32Array.of(total), [1]),
    ...past,
  });
  const next = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    if (name.startsWith("present")) {
      next[name.replace("present", "past")] = tensor;
    }
  }
  return next;
}
const tokens = (n) => Array.from({ length: n }, (_, i) => 1 + (i * 7919) % 200);

const report = {
  prefill: {},
  decode: {},
  version: ort.env.versions?.web ?? "",
  peakMiB: 0,
};
await feed(tokens(16), empty(), 0); // warm-up
for (const n of lengths(flags.prefill)) {
  const began = performance.now();
  await feed(tokens(n), empty(), 0);
  report.prefill[n] = n / ((performance.now() - began) / 1000);
}
for (const n of lengths(flags.decode)) {
  let past = await feed(tokens(n), empty(), 0);
  const began = performance.now();
  for (let i = 0; i < steps; i++) past = await feed([1 + i], past, n + i);
  report.decode[n] = steps / ((performance.now() - began) / 1000);
}
report.peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
console.log(JSON.stringify(report));
