/**
 * Speed of whole models: prefill and decode at several depths, and the share of a token spent outside the kernels.
 *
 *   deno run -A bench/decode_bench.ts MODEL… [--depths 512,2000] [--context N] [--kv-type f16] [--binary relaxed]
 *     [--chunk N]
 *
 * Depths are tokens in the cache. Decoding is timed once it is warm: the runtime translates kernels and code anew while
 * the first thousands of calls run, which takes a tiny model's first 150 tokens. Every figure is a median.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import { generate } from "../src/generate.ts";
import { openModel } from "../src/gguf/mod.ts";
import { type KernelExports, Kernels } from "../src/kernels/kernels.ts";
import type { Binary } from "../src/kernels/load.ts";
import { Arena } from "../src/memory/arena.ts";
import { loadModel, Model, type Sequence } from "../src/model/engine.ts";
import { planModel, type PlanOptions } from "../src/model/plan.ts";
import { kernelModule } from "../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../src/runtime/open_source.ts";
import { createTokenizer } from "../src/tokenizer/mod.ts";
import { median } from "./statistics.ts";
import { commandLine } from "./usage.ts";

const DECODED = 32;
/** Milliseconds of decoding before it is timed, and while. */
const WARM_MS = 1000;
const TIMED_MS = 1000;

/** Ids that repeat late, so that no cache of a processor knows them all. */
function prompt(n: number, nVocab: number): number[] {
  return Array.from({ length: n }, (_, i) => (i * 7919 + 13) % nVocab);
}

/** Milliseconds a token of `DECODED`, from where the sequence stands; it stands there again afterwards. */
function decodeMs(sequence: Sequence): number {
  const depth = sequence.position;
  const start = performance.now();
  for (let i = 0, id = 0; i < DECODED; i++, id = sequence.row.argmax()) sequence.decode(id);
  const ms = (performance.now() - start) / DECODED;
  sequence.truncate(depth);
  return ms;
}

/** The same for a reader of `generate`, from its first token to its last. */
async function streamedMs(sequence: Sequence): Promise<number> {
  const depth = sequence.position;
  let first = 0;
  for await (const _ of generate(sequence, [0], { maxTokens: DECODED, ignoreEos: true })) {
    first ||= performance.now();
  }
  const ms = (performance.now() - first) / (DECODED - 1);
  sequence.truncate(depth);
  return ms;
}

/** The median of such a measurement over some time, warm. */
async function warm(measure: () => number | Promise<number>): Promise<number> {
  const begin = performance.now() + WARM_MS;
  while (performance.now() < begin) await measure();
  const runs: number[] = [];
  const end = performance.now() + TIMED_MS;
  while (performance.now() < end || runs.length < 3) runs.push(await measure());
  return median(runs);
}

/** Milliseconds a token of everything but the kernels: the same calls on kernels that do nothing. */
async function outsideMs(path: string, options: PlanOptions): Promise<number> {
  const file = await openModel(openSource(path));
  file.close();
  const plan = planModel(file.model, options);
  const instance = await WebAssembly.instantiate(await kernelModule("simd128"));
  const idle = Object.fromEntries(Object.keys(instance.exports).map((name) => [name, () => 0]));
  const memory = { buffer: new ArrayBuffer(plan.totalBytes) };
  const kernels = new Kernels({ ...idle, memory } as unknown as KernelExports);
  const arena = new Arena(kernels.buffer, plan);
  const tokenizer = createTokenizer(file.model.metadata, arena.region("vocabulary"));
  const { hparams, weights, frequencies, slopes } = plan;
  const network = { kernels, hparams, weights, frequencies, slopes, classes: null };
  const sequence = new Model(network, plan, arena, file.model.metadata, tokenizer, "simd128").sequence();
  return await warm(() => decodeMs(sequence));
}

if (import.meta.main) {
  const line = commandLine(import.meta.url);
  const args = parseArgs(Deno.args, {
    string: ["depths", "context", "kv-type", "binary", "chunk"],
    unknown: line.unknown,
  });
  if (args._.length === 0) line.lacks("MODEL");
  const depths = (args.depths ?? "512,2000").split(",").map(Number);
  const context = Number(args.context ?? Math.max(...depths) + DECODED);
  const chunk = args.chunk === undefined ? undefined : Number(args.chunk);
  const options = { context, chunk, kvType: args["kv-type"] as KvTypeName | undefined };
  for (const path of args._.map(String)) {
    const start = performance.now();
    const model = await loadModel(openSource(path), {
      ...options,
      kernels: kernelModule,
      binary: args.binary as Binary | undefined,
    });
    const loadMs = performance.now() - start;
    const { nVocab } = model.hparams;
    const mb = (model.memoryBytes / 1e6).toFixed(1);
    console.log(
      `${path.split("/").at(-1)}: ${model.binary}, ${mb} MB planned, loaded in ${loadMs.toFixed(0)} ms`,
    );
    const sequence = model.sequence();
    const outside = await outsideMs(path, options);
    for (const depth of depths) {
      const ids = prompt(depth, nVocab);
      const prefills: number[] = [];
      for (let run = 0; run < (depth > 1000 ? 2 : 4); run++) {
        sequence.reset();
        const before = performance.now();
        await sequence.prefill(ids);
        prefills.push(performance.now() - before);
      }
      const decode = await warm(() => decodeMs(sequence));
      const streamed = await warm(() => streamedMs(sequence));
      console.log(
        `  ${depth} tokens: prefill ${(1000 * depth / median(prefills)).toFixed(0)} tok/s, ` +
          `decode ${(1000 / decode).toFixed(1)} tok/s, of a token ${(1000 * outside).toFixed(1)} µs ` +
          `(${(100 * outside / decode).toFixed(1)} %) outside the kernels, ` +
          `streamed ${(1000 / streamed).toFixed(1)} tok/s`,
      );
    }
    model.dispose();
  }
}
