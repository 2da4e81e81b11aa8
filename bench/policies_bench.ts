/**
 * Speed under cache policies against our own full cache, in the same process: prefill and decode of one prompt length,
 * the share of a token that scoring and choosing take, and the memory planned.
 *
 *   deno run -A bench/policies_bench.ts MODEL --tokens 8000 [--policies full,keyformer] [--budgets 0.5,0.25,0.1]
 *     [--kv-type q8_0] [--decoded 32] [--record bench/record/policies.csv]
 *
 * Policies are separated by semicolons where they have parameters. Prompts stream; every decode figure is the median of
 * the tokens decoded.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import { loadModel } from "../src/runtime/load_model.ts";

const args = parseArgs(Deno.args, {
  string: ["tokens", "policies", "budgets", "kv-type", "decoded", "record"],
  default: {
    tokens: "2000",
    policies: "full;keyformer;keyformer:every=8",
    budgets: "0.5,0.25,0.1",
    decoded: "32",
  },
});
const [path] = args._.map(String);
if (path === undefined) {
  console.log(
    "usage: deno run -A bench/policies_bench.ts MODEL [--tokens N] [--policies A;B] [--budgets X,Y]",
  );
  Deno.exit(1);
}
const [nTokens, decoded] = [Number(args.tokens), Number(args.decoded)];

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

const rows: string[] = [];
let full: number | undefined;
for (const policy of args.policies.split(";")) {
  for (const budget of policy === "full" ? [1] : args.budgets.split(",").map(Number)) {
    const model = await loadModel(path, {
      context: nTokens + decoded,
      kvType: args["kv-type"] as KvTypeName | undefined,
      ...(policy !== "full" && { policy, budget }),
    });
    const { nVocab } = model.hparams;
    const ids = Array.from({ length: nTokens }, (_, i) => (i * 7919 + 13) % nVocab);
    const sequence = model.sequence();
    const start = performance.now();
    await sequence.prefill(ids);
    const prefillMs = performance.now() - start;
    const prefillScoring = sequence.cache().scoringMs;
    const times = Array.from({ length: decoded }, () => {
      const before = performance.now();
      sequence.decode(sequence.row.argmax());
      return performance.now() - before;
    });
    const { scoringMs, slots, bytes } = sequence.cache();
    // A mean where not every token scores; the median would not see those that do.
    const ms = policy.includes("every=") ? times.reduce((a, b) => a + b) / decoded : median(times);
    if (policy === "full") full = ms;
    const scoring = (scoringMs - prefillScoring) / decoded;
    const mb = (value: number) => (value / 1e6).toFixed(1);
    console.log(
      `${policy.padEnd(24)} ${String(budget).padStart(4)} of ${nTokens}: ${
        String(slots).padStart(5)
      } slots, ` +
        `cache ${mb(bytes).padStart(6)} MB, all ${mb(model.memoryBytes).padStart(6)} MB, ` +
        `prefill ${(1000 * nTokens / prefillMs).toFixed(0)} tok/s (scoring ${
          (100 * prefillScoring / prefillMs).toFixed(0)
        } %), ` +
        `decode ${(1000 / ms).toFixed(1)} tok/s (${ms.toFixed(2)} ms, scoring ${
          (100 * scoring / ms).toFixed(1)
        } %)` +
        (full === undefined ? "" : `, ${(full / ms).toFixed(2)} × full`),
    );
    rows.push([
      `"${policy}"`,
      budget,
      nTokens,
      slots,
      bytes,
      model.memoryBytes,
      prefillMs.toFixed(1),
      ms.toFixed(3),
      scoring.toFixed(3),
    ].join(","));
    model.dispose();
  }
}
if (args.record !== undefined) {
  const header = "policy,budget,tokens,slots,cache_bytes,memory_bytes,prefill_ms,decode_ms,scoring_ms\n";
  const before = await Deno.readTextFile(args.record).catch(() => header);
  await Deno.writeTextFile(args.record, before + rows.join("\n") + "\n");
}
