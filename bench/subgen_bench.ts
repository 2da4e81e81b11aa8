/**
 * SubGen on keys, values and queries of a real text: how its clusters grow with the text, and how far attention over the
 * sketch lies from attention over everything, beside keeping as many of the latest tokens or of the farthest keys.
 *
 *   deno run -A bench/subgen_bench.ts MODEL TEXT [--recent 64] [--record CSV]
 *
 * One text is read with the full cache, and what each layer hands to attention is written down; caches without a model
 * then read it under each policy. Error: |out - full| / |full| over the heads of a token, mean of 16 tokens and all layers.
 * Growth: the exponent of clusters against tokens in the sketch, by least squares in logarithms, mean of layers and heads.
 */
import { parseArgs } from "@std/cli/parse-args";
import { sketchSizes } from "../src/kernels/sketch_kernels.ts";
import { PlainStorage } from "../src/cache/storage/plain.ts";
import type { Words } from "../src/memory/handles.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { makeRig, type Rig } from "../tests/policy/rig.ts";
import { readText } from "./quality/measure.ts";
import { mean } from "./statistics.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["recent", "record"],
  default: { recent: "64" },
  unknown: line.unknown,
});
const [path, textPath] = args._.map(String);
if (textPath === undefined) line.lacks(path === undefined ? "MODEL" : "TEXT");
const [LENGTHS, STEPS] = [[128, 192, 256, 384, 512, 768, 960], 16];
const recent = Number(args.recent);
const n = LENGTHS.at(-1)! + STEPS;

/** `[head][token][dim]` of each layer. */
interface Input {
  readonly q: number[][][];
  readonly k: number[][][];
  readonly v: number[][][];
}

/** Reads the text, and writes down what every layer hands to attention. */
async function listen(): Promise<{ inputs: Input[]; headDim: number }> {
  const model = await loadModel(path, { context: n, kvType: "f32" });
  const { nLayers, nHeads, nKvHeads, headDim } = model.hparams;
  const heads = (count: number): number[][][] => Array.from({ length: count }, () => []);
  const inputs = Array.from(
    { length: nLayers },
    () => ({ q: heads(nHeads), k: heads(nKvHeads), v: heads(nKvHeads) }),
  );
  const append = PlainStorage.prototype.append;
  PlainStorage.prototype.append = function (layer, desk, nTokens) {
    append.call(this, layer, desk, nTokens);
    for (const part of ["q", "k", "v"] as const) {
      const all = new Float32Array(this.rules.kernels.buffer, desk[part].offset, desk[part].length);
      const into = inputs[layer][part];
      for (let row = 0; row < nTokens * into.length; row++) {
        into[row % into.length].push([...all.subarray(row * headDim, (row + 1) * headDim)]);
      }
    }
  };
  const ids = model.tokenizer.encode(await readText(textPath), { addSpecial: false }).slice(0, n);
  await model.sequence().prefill(ids);
  PlainStorage.prototype.append = append;
  model.dispose();
  return { inputs, headDim };
}

const { inputs, headDim } = await listen();
const [nHeads, nKvHeads] = [inputs[0].q.length, inputs[0].k.length];

/** Reads `nTokens` tokens as a prompt and some more; outputs of those, and the cache. */
async function read(nTokens: number, options: { policy?: string; budget?: number }) {
  const rig = await makeRig({
    nHeads,
    nKvHeads,
    headDim,
    context: n,
    chunk: 64,
    nLayers: inputs.length,
    inputs,
    ...options,
  });
  const [{ q, k, v }] = inputs;
  rig.prompt(q, k, v, nTokens);
  const outputs = Array.from({ length: STEPS }, () => {
    rig.step(q, k, v);
    return rig.outputs.map(([heads]) => heads.flat());
  });
  return { rig, outputs };
}

/** Clusters of each layer and KV head. */
function clustersOf({ arena, caches }: Rig): number[] {
  return caches.flatMap(({ state }) => {
    const words = arena.words(state!.sketchWords as Words);
    return Array.from({ length: nKvHeads }, (_, head) => words[head * words.length / nKvHeads]);
  });
}

function error(got: readonly number[][][], wanted: readonly number[][][]): number {
  return mean(got.flatMap((layers, step) =>
    layers.map((row, layer) => {
      const full = wanted[step][layer];
      return Math.hypot(...row.map((x, i) => x - full[i])) / Math.hypot(...full);
    })
  ));
}

/** Slope of ln y against ln x. */
function exponent(x: readonly number[], y: readonly number[]): number {
  const [lx, ly] = [x.map(Math.log), y.map(Math.log)];
  const [mx, my] = [mean(lx), mean(ly)];
  return lx.reduce((sum, value, i) => sum + (value - mx) * (ly[i] - my), 0) /
    lx.reduce((sum, value) => sum + (value - mx) ** 2, 0);
}

const rows = ["policy,tokens,slots,floats_per_head,clusters,error"];
const full = new Map<number, number[][][]>();
for (const nTokens of LENGTHS) full.set(nTokens, (await read(nTokens, {})).outputs);

const report = (...values: (string | number)[]) => {
  const row = values.map((value) =>
    typeof value === "number" ? +value.toFixed(4) : value.replaceAll(",", " ")
  )
    .join(",");
  rows.push(row);
  console.log(row);
};
for (const radius of [0.5, 0.7, 0.9, 1.1]) {
  const grown: number[] = [];
  for (const form of ["fold", "sample"]) {
    for (const nTokens of LENGTHS) {
      const policy = `subgen:form=${form},radius=${radius},clusters=1024`;
      const { rig, outputs } = await read(nTokens, { policy, budget: recent });
      const clusters = mean(clustersOf(rig));
      const shape = { clusters: Math.round(clusters), keySamples: 4, valueSamples: 64 };
      const used = sketchSizes(
        form === "fold" ? { ...shape, keySamples: 0, valueSamples: 0 } : shape,
        headDim,
        headDim,
      );
      if (form === "fold") grown.push(clusters);
      report(policy, nTokens, recent, used.floats, clusters, error(outputs, full.get(nTokens)!));
      // At the same bytes.
      if (form === "sample") continue;
      const budget = recent + Math.round(used.floats / (2 * headDim));
      for (const other of ["window", `k_center:recent=${recent}`]) {
        if (budget + STEPS >= nTokens) continue;
        const { outputs } = await read(nTokens, { policy: other, budget });
        report(other, nTokens, budget, 0, 0, error(outputs, full.get(nTokens)!));
      }
    }
  }
  console.log(
    `radius ${radius}: exponent ${
      exponent(LENGTHS.map((length) => length + STEPS - recent), grown).toFixed(3)
    }`,
  );
}
if (args.record !== undefined) await Deno.writeTextFile(args.record, rows.join("\n") + "\n");
