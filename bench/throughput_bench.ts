/**
 * Throughput in the setting of the Keyformer paper (arXiv 2403.09054, table 1): a prompt of n tokens and a reply of n
 * tokens, so that the full cache grows to twice the prompt and a budget of 50 % stays at half of it. Memory that one
 * full cache takes holds four reduced ones: their sequences share each pass through the weights.
 *
 *   deno run -A bench/throughput_bench.ts MODEL [--tokens 2000] [--cases "full;keyformer;keyformer x2;keyformer x4"]
 *     [--budget 0.5] [--kv-type q8_0] [--record bench/record/throughput.csv]
 *
 * Every figure is a whole run: all steps of the reply, and the prompts of all sequences where it says so.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { readRecord, type Row, writeRecord } from "./records.ts";

const CASES =
  "full;keyformer;keyformer:every=8;keyformer x2;keyformer:every=8 x2;keyformer:every=8 x4;full x2";

const args = parseArgs(Deno.args, {
  string: ["tokens", "cases", "budget", "kv-type", "record"],
  boolean: ["help"],
  default: { tokens: "2000", cases: CASES, budget: "0.5" },
});
const [path] = args._.map(String);
if (args.help || path === undefined) {
  console.log(
    "usage: deno run -A bench/throughput_bench.ts MODEL [--tokens N] [--cases 'A;B x2'] [--budget 0.5] [--record FILE]",
  );
  Deno.exit(args.help ? 0 : 1);
}
const nTokens = Number(args.tokens);

interface Throughput {
  readonly cacheBytes: number;
  /** Of all sequences together. */
  readonly promptMs: number;
  readonly replyMs: number;
}

async function measure(policy: string, nSequences: number): Promise<Throughput> {
  const model = await loadModel(path, {
    context: 2 * nTokens,
    sequences: nSequences,
    kvType: args["kv-type"] as KvTypeName | undefined,
    ...(policy !== "full" && { policy, budget: Math.round(Number(args.budget) * nTokens) }),
  });
  const sequences = Array.from({ length: nSequences }, () => model.sequence());
  let start = performance.now();
  for (const [i, sequence] of sequences.entries()) {
    await sequence.prefill(
      Array.from({ length: nTokens }, (_, t) => (t * 7919 + 13 + i) % model.hparams.nVocab),
    );
  }
  const promptMs = performance.now() - start;
  start = performance.now();
  for (let step = 1; step < nTokens; step++) {
    model.decode(sequences, sequences.map(({ row }) => row.argmax()));
  }
  const replyMs = performance.now() - start;
  const cacheBytes = nSequences * sequences[0].cache().bytes;
  model.dispose();
  return { cacheBytes, promptMs, replyMs };
}

const rows: Row[] = args.record === undefined ? [] : await readRecord(args.record);
let full: { reply: number; all: number } | undefined;
for (const text of args.cases.split(";")) {
  const [policy, times = "x1"] = text.trim().split(" ");
  const nSequences = Number(times.slice(1));
  const { cacheBytes, promptMs, replyMs } = await measure(policy, nSequences);
  const tokens = nSequences * nTokens;
  const reply = 1000 * (tokens - nSequences) / replyMs;
  const all = 1000 * tokens / (promptMs + replyMs);
  full ??= { reply, all };
  console.log(
    `${policy.padEnd(20)} ${nSequences} x (${nTokens} + ${nTokens}): cache ${
      (cacheBytes / 1e6).toFixed(1)
    } MB, ` +
      `reply ${reply.toFixed(1)} tok/s (${(reply / full.reply).toFixed(2)} x), ` +
      `with its prompt ${all.toFixed(1)} tok/s (${(all / full.all).toFixed(2)} x)`,
  );
  rows.push({
    policy,
    sequences: String(nSequences),
    tokens: String(nTokens),
    cache_bytes: String(cacheBytes),
    prompt_ms: promptMs.toFixed(0),
    reply_ms: replyMs.toFixed(0),
  });
  if (args.record !== undefined) await writeRecord(args.record, rows);
}
