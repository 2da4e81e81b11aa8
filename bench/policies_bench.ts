/**
 * Speed under cache policies against our own full cache, in the same process: prefill and decode of one prompt length,
 * the share of a token that scoring and choosing take, and the memory planned.
 *
 *   deno run -A bench/policies_bench.ts MODEL --tokens 8000 [--policies full,keyformer] [--budgets 0.5,0.25,0.1]
 *     [--sequences 1,2,4] [--kv-type q8_0] [--decoded 32] [--record bench/record/policies.csv]
 *
 * Policies are separated by semicolons where they have parameters. Prompts stream; every decode figure is the median of
 * the steps decoded. With several sequences each holds the same prompt, and a step reads a token in each.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import { loadModel } from "../src/runtime/load_model.ts";

const args = parseArgs(Deno.args, {
  string: ["tokens", "policies", "budgets", "sequences", "kv-type", "decoded", "record"],
  default: {
    tokens: "2000",
    sequences: "1",
    policies: "full;keyformer;keyformer:every=8",
    budgets: "0.5,0.25,0.1",
    decoded: "32",
  },
});
const [path] = args._.map(String);
if (path === undefined) {
  console.log(
    "usage: deno run -A bench/policies_bench.ts MODEL [--tokens N] [--policies A;B] [--budgets X,Y] [--sequences 1,2]",
  );
  Deno.exit(1);
}
const [nTokens, decoded] = [Number(args.tokens), Number(args.decoded)];

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

const mb = (value: number) => (value / 1e6).toFixed(1);
const rows: string[] = [];
let full: number | undefined;

async function measure(policy: string, budget: number, nSequences: number): Promise<void> {
  const model = await loadModel(path, {
    context: nTokens + decoded,
    sequences: nSequences,
    kvType: args["kv-type"] as KvTypeName | undefined,
    ...(policy !== "full" && { policy, budget }),
  });
  const { nVocab } = model.hparams;
  const ids = Array.from({ length: nTokens }, (_, i) => (i * 7919 + 13) % nVocab);
  const sequences = Array.from({ length: nSequences }, () => model.sequence());
  const start = performance.now();
  for (const sequence of sequences) await sequence.prefill(ids);
  const prefillMs = (performance.now() - start) / nSequences;
  const scoringMs = () => sequences.reduce((sum, sequence) => sum + sequence.cache().scoringMs, 0);
  const prefillScoring = scoringMs() / nSequences;
  const times = Array.from({ length: decoded }, () => {
    const before = performance.now();
    model.decode(sequences, sequences.map(({ row }) => row.argmax()));
    return performance.now() - before;
  });
  const scoring = (scoringMs() - prefillScoring * nSequences) / decoded;
  const { slots, bytes } = sequences[0].cache();
  // A mean where not every token scores; the median would not see those that do.
  const ms = policy.includes("every=") ? times.reduce((a, b) => a + b) / decoded : median(times);
  const perToken = ms / nSequences;
  full ??= policy === "full" ? perToken : undefined;
  console.log(
    `${policy.padEnd(24)} ${String(budget).padStart(4)} of ${nTokens}, ${nSequences} at once: ` +
      `${String(slots).padStart(5)} slots, cache ${nSequences} x ${mb(bytes).padStart(5)} MB, ` +
      `all ${mb(model.memoryBytes).padStart(6)} MB, ` +
      `prefill ${(1000 * nTokens / prefillMs).toFixed(0)} tok/s (scoring ${
        (100 * prefillScoring / prefillMs).toFixed(0)
      } %), ` +
      `decode ${(1000 / perToken).toFixed(1)} tok/s (a step ${ms.toFixed(2)} ms, scoring ${
        (100 * scoring / ms).toFixed(1)
      } %)` +
      (full === undefined ? "" : `, ${(full / perToken).toFixed(2)} × full`),
  );
  rows.push([
    `"${policy}"`,
    budget,
    nTokens,
    nSequences,
    slots,
    nSequences * bytes,
    model.memoryBytes,
    prefillMs.toFixed(1),
    ms.toFixed(3),
    scoring.toFixed(3),
  ].join(","));
  model.dispose();
}

for (const policy of args.policies.split(";")) {
  for (const budget of policy === "full" ? [1] : args.budgets.split(",").map(Number)) {
    for (const n of args.sequences.split(",").map(Number)) await measure(policy, budget, n);
  }
}
if (args.record !== undefined) {
  const header =
    "policy,budget,tokens,sequences,slots,cache_bytes,memory_bytes,prefill_ms,decode_ms,scoring_ms\n";
  const before = await Deno.readTextFile(args.record).catch(() => header);
  await Deno.writeTextFile(args.record, before + rows.join("\n") + "\n");
}
