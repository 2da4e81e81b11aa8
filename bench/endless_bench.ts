/**
 * A text far longer than the model's context, through caches of fixed and equal size: time and loss per token as it goes
 * on, and whether memory stays what was planned.
 *
 *   deno run -A bench/endless_bench.ts MODEL --text-file FILE [--tokens 8192,32768,131072] [--budget 300kB]
 *     [--policies "window;streaming_llm;cascading"] [--record FILE.csv]
 *
 * Policies are separated by semicolons. All run at compact positions. Every token is read and scored, chunk by chunk; a
 * row is about the tokens since the row before, and the last 4,096 of them.
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../src/runtime/load_model.ts";

const args = parseArgs(Deno.args, {
  string: ["text-file", "tokens", "budget", "policies", "record"],
  default: { tokens: "8192,32768,131072", budget: "300kB", policies: "window;streaming_llm;cascading" },
});
const [path] = args._.map(String);
if (path === undefined || args["text-file"] === undefined) {
  console.log(
    "usage: deno run -A bench/endless_bench.ts MODEL --text-file FILE [--tokens N,M] [--budget BYTES]",
  );
  Deno.exit(1);
}
const lengths = args.tokens.split(",").map(Number);
const total = lengths.at(-1)!;
const PIECE = 4096;
const rows: string[] = [];

async function measure(policy: string, text: string): Promise<void> {
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
  let [start, nll, ms] = [0, 0, 0];
  for (let at = 0; at < total; at += PIECE) {
    const before = performance.now();
    const piece = await sequence.score(ids.slice(at, at + PIECE));
    const pieceMs = performance.now() - before;
    [nll, ms] = [nll + piece.nll, ms + pieceMs];
    const read = at + PIECE;
    if (!lengths.includes(read)) continue;
    const { slots, bytes } = sequence.cache();
    // The first token of a piece is not scored.
    const scored = read - start - Math.ceil((read - start) / PIECE);
    rows.push([
      policy,
      read,
      slots,
      bytes,
      model.memoryBytes,
      (ms / (read - start)).toFixed(3),
      (pieceMs / PIECE).toFixed(3),
      (nll / scored).toFixed(4),
      (piece.nll / piece.tokens).toFixed(4),
    ].join());
    console.log(rows.at(-1));
    [start, nll, ms] = [read, 0, 0];
  }
  if (model.memoryBytes !== planned) throw new Error(`memory grew from ${planned} to ${model.memoryBytes}`);
  model.dispose();
}

const head = "policy,tokens,slots,cache_bytes,memory_bytes,ms_per_token,ms_per_token_at_end,nll,nll_at_end";
console.log(head);
const text = await Deno.readTextFile(args["text-file"]);
for (const policy of args.policies.split(";")) await measure(policy, text);
if (args.record !== undefined) await Deno.writeTextFile(args.record, [head, ...rows, ""].join("\n"));
