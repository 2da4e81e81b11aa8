/**
 * What a server gives to several clients at once: each streams one reply after the other over loopback, from a process
 * of its own.
 *
 *   deno run -A bench/server_bench.ts MODEL [--clients 1,2,4] [--tokens 128] [--prompt 64] [--seconds 8] [--sequences 4]
 *
 * Counted are the tokens that arrive.
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../src/runtime/load_model.ts";
import { createServer } from "../src/server/server.ts";
import type { Count, Job } from "./server_client.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const { _: [path], ...args } = parseArgs(Deno.args, {
  string: ["_", "clients", "tokens", "prompt", "seconds", "sequences"],
  default: { clients: "1,2,4", tokens: "128", prompt: "64", seconds: "8", sequences: "4" },
  unknown: line.unknown,
});
if (path === undefined) line.lacks("MODEL");
const tokens = Number(args.tokens);
const prompt = Number(args.prompt);
const seconds = Number(args.seconds);

const model = await loadModel(String(path), { context: prompt + tokens, sequences: Number(args.sequences) });
const server = createServer(() => Promise.resolve(model), { queue: 64 });
const http = Deno.serve(
  { port: 0, hostname: "127.0.0.1", onListen: () => {} },
  (request) => server.fetch(request),
);
const url = `http://127.0.0.1:${http.addr.port}`;

async function client(index: number): Promise<Count> {
  const ends = [...model.tokenizer.eogIds];
  const job: Job = { url, index, nVocab: model.hparams.nVocab, ends, tokens, prompt, seconds };
  const script = new URL("server_client.ts", import.meta.url).pathname;
  const command = new Deno.Command(Deno.execPath(), { args: ["run", "-A", script, JSON.stringify(job)] });
  return JSON.parse(new TextDecoder().decode((await command.output()).stdout));
}

let alone: number | undefined;
for (const n of args.clients.split(",").map(Number)) {
  const before = model.steps;
  const counts = await Promise.all(Array.from({ length: n }, (_, index) => client(index)));
  const rate = counts.reduce((sum, count) => sum + count.tokens / count.seconds, 0);
  alone ??= rate;
  const firstMs = counts.flatMap((count) => count.firstMs).toSorted((a, b) => a - b);
  const together = (model.steps.tokens - before.tokens) / (model.steps.steps - before.steps);
  console.log(
    `${n} clients: ${rate.toFixed(1)} tokens/s in all, ${(rate / alone).toFixed(2)} × one, ` +
      `${together.toFixed(2)} tokens a step, first token after ${firstMs[firstMs.length >> 1].toFixed(0)} ms`,
  );
}
await http.shutdown();
model.dispose();
