/**
 * What a token takes behind a long text, by how keys and values are stored.
 *
 *   deno run -A bench/storage_speed.ts MODEL [--tokens 900] [--steps 64] [--binary simd128] [--calibration FILE]
 *     [--storages "plain q8_0;kivi:bits=4;…"] [--record CSV]
 *
 * The text is arbitrary tokens; figures are medians over the steps. `cq` needs what `deno task calibrate` has learned.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import type { Binary } from "../src/kernels/load.ts";
import { loadModel, type LoadModelOptions } from "../src/runtime/load_model.ts";
import { writeRecord } from "./records.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["tokens", "steps", "binary", "calibration", "storages", "record"],
  default: {
    tokens: "900",
    steps: "64",
    binary: "simd128",
    storages: "plain q8_0;plain f32;kivi:bits=4;kivi:bits=2;think:prune=0.4 q8_0;cq:channels=4;mixed:bits=4",
  },
  unknown: line.unknown,
});
const [path] = args._.map(String);
if (path === undefined) line.lacks("MODEL");
const [tokens, steps] = [Number(args.tokens), Number(args.steps)];
const calibration = args.calibration === undefined ? undefined : await Deno.readFile(args.calibration);

async function measure(name: string): Promise<number> {
  const [storage, kvType] = name.split(" ");
  const beside: LoadModelOptions = storage.startsWith("cq")
    ? { calibration }
    : storage.startsWith("mixed")
    ? { policy: "zipvl:others=demote", budget: 0.6 }
    : {};
  const model = await loadModel(path, {
    context: tokens + steps,
    storage,
    kvType: kvType as KvTypeName | undefined,
    binary: args.binary as Binary,
    ...beside,
  });
  const sequence = model.sequence();
  await sequence.prefill(Array.from({ length: tokens }, (_, i) => (i * 7919 + 13) % model.hparams.nVocab));
  const times = Array.from({ length: steps }, () => {
    const start = performance.now();
    sequence.decode(sequence.row.argmax());
    return performance.now() - start;
  });
  model.dispose();
  return times.toSorted((a, b) => a - b)[steps >> 1];
}

const rows = [];
for (const name of args.storages.split(";")) {
  if (name.startsWith("cq") && calibration === undefined) continue;
  const ms = await measure(name);
  rows.push({ storage: name, tokens, binary: args.binary, decode_ms: ms.toFixed(3) });
  console.log(`${name}: ${ms.toFixed(3)} ms`);
}
if (args.record !== undefined) await writeRecord(args.record, rows);
