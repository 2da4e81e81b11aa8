/**
 * A client of a server under measurement, in a process of its own: streams one reply after the other.
 *
 *   deno run -A bench/server_client.ts JOB, the job as JSON; it prints what it has counted
 */

import { parseArgs } from "@std/cli/parse-args";
import { commandLine } from "./usage.ts";

/** What it is told. */
export interface Job {
  readonly url: string;
  /** Which of several clients it is. */
  readonly index: number;
  readonly nVocab: number;
  /** Tokens that would end a reply. */
  readonly ends: readonly number[];
  /** Of a reply, and of a prompt. */
  readonly tokens: number;
  readonly prompt: number;
  readonly seconds: number;
}

/** What it has received, after a first reply. */
export interface Count {
  readonly tokens: number;
  readonly seconds: number;
  /** Milliseconds from request to first token, one a reply. */
  readonly firstMs: readonly number[];
}

/** One reply. Prompts differ from each other. */
async function reply({ url, nVocab, ends, tokens, prompt, index }: Job, n: number) {
  const start = performance.now();
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7919 + 13 + 101 * index + 1009 * n) % nVocab);
  const body = JSON.stringify({
    ...{ prompt: ids, max_tokens: tokens, temperature: 0, stream: true, cache_prompt: false },
    stream_options: { include_usage: true },
    logit_bias: Object.fromEntries(ends.map((id) => [id, -100])),
  });
  const response = await fetch(`${url}/v1/completions`, { method: "POST", body });
  let text = "";
  let firstMs = 0;
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    if (firstMs === 0) firstMs = performance.now() - start;
    text += piece;
  }
  return { tokens: Number(/"completion_tokens":(\d+)/.exec(text)![1]), firstMs };
}

const line = commandLine(import.meta.url);
const [text] = parseArgs(Deno.args, { string: ["_"], unknown: line.unknown })._;
if (text === undefined) line.lacks("JOB");
const job: Job = JSON.parse(text);
await reply(job, 0);
const firstMs: number[] = [];
const start = performance.now();
let tokens = 0;
for (let n = 1; performance.now() - start < 1000 * job.seconds; n++) {
  const one = await reply(job, n);
  tokens += one.tokens;
  firstMs.push(one.firstMs);
}
const count: Count = { tokens, seconds: (performance.now() - start) / 1000, firstMs };
console.log(JSON.stringify(count));
