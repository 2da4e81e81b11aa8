/**
 * A text far longer than the model's context, through caches of fixed and equal size: time and loss per token as it goes
 * on, and whether memory stays what was planned.
 *
 *   deno run -A bench/endless_bench.ts MODEL --text-file FILE[.gz] [--tokens 8192,32768,131072] [--budget 300kB]
 *     [--policies "window;streaming_llm;cascading"] [--record FILE.csv]
 *
 * Policies are separated by semicolons. All run at compact positions. Every token is read and scored, in pieces of 4,096; a
 * row is about the tokens since the row before, and the last piece of them. Losses are nats per token, and those more than
 * the first policy's on the same pieces, with half the 95 % interval over pieces.
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../src/runtime/load_model.ts";
import { readText } from "./quality/measure.ts";
import { interval, mean } from "./statistics.ts";
import { writeRecord } from "./records.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["text-file", "tokens", "budget", "policies", "record"],
  default: { tokens: "8192,32768,131072", budget: "300kB", policies: "window;streaming_llm;cascading" },
  unknown: line.unknown,
});
const [path] = args._.map(String);
if (path === undefined) line.lacks("MODEL");
if (args["text-file"] === undefined) line.lacks("--text-file");
const lengths: number[] = args.tokens.split(",").map(Number);
const total = lengths.at(-1)!;
const PIECE = 4096;
const text = await readText(args["text-file"]);
const rows: Record<string, unknown>[] = [];
/** Loss of each piece under the first policy. */
const first: number[] = [];

async function measure(policy: string): Promise<void> {
  const model = await loadModel(path, {
    context: total,
    policy,
    budget: args.budget,
    positions: "compact",
    outputRows: 16,
  });
  const ids = model.tokenizer.encode(text, { addSpecial: false }).slice(0, total);
  if (ids.length < total) throw new Error(`the text has ${ids.length} tokens, ${total} are wanted`);
  const sequence = model.sequence();
  const planned = model.memoryBytes;
  const [losses, times]: number[][] = [[], []];
  let start = 0;
  for (let at = 0; at < total; at += PIECE) {
    const before = performance.now();
    const { nll, tokens } = await sequence.score(ids.slice(at, at + PIECE));
    times.push((performance.now() - before) / PIECE);
    losses.push(nll / tokens);
    const read = at + PIECE;
    if (!lengths.includes(read)) continue;
    const { slots, bytes } = sequence.cache();
    const behind = rows.some((row) => row.policy !== policy)
      ? losses.slice(start).map((loss, i) => loss - first[start + i])
      : undefined;
    rows.push({
      policy,
      tokens: read,
      slots,
      cache_bytes: bytes,
      memory_bytes: model.memoryBytes,
      ms_per_token: mean(times.slice(start)).toFixed(3),
      ms_per_token_at_end: times.at(-1)!.toFixed(3),
      nll: mean(losses.slice(start)).toFixed(4),
      nll_at_end: losses.at(-1)!.toFixed(4),
      behind: behind ? mean(behind).toFixed(4) : "",
      behind_interval: behind ? interval(behind).toFixed(4) : "",
    });
    console.log(Object.values(rows.at(-1)!).join());
    start = losses.length;
  }
  if (first.length === 0) first.push(...losses);
  if (model.memoryBytes !== planned) throw new Error(`memory grew from ${planned} to ${model.memoryBytes}`);
  model.dispose();
}

for (const policy of args.policies.split(";")) await measure(policy);
if (args.record !== undefined) await writeRecord(args.record, rows);
