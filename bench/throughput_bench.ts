/**
 * Throughput in the setting of the Keyformer paper (arXiv 2403.09054, table 1): a prompt of n tokens and a reply of n
 * tokens, so that the full cache grows to twice the prompt and a budget of 50 % stays at half of it. Memory that one
 * full cache takes in the end holds four reduced ones: their sequences share each pass through the weights.
 *
 *   deno run -A bench/throughput_bench.ts MODEL [--tokens 2000] [--cases "keyformer;keyformer:every=8 x4 0.25 q4_0"]
 *     [--rounds 4] [--whole] [--record bench/record/throughput.csv]
 *
 * A case is a policy, and behind it how many sequences, its budget as a share of the prompt (0.5), how keys and values
 * are stored (q8_0), and `whole` for a prompt that is reduced at its end; one full cache is always the first.
 *
 * Replies are sampled: at the start of the reply, in its middle and at its end all cases decode by turns, sixteen
 * tokens each and four before them, and the medians at these depths are integrated. A full cache is filled up to each depth by
 * a prompt. What a policy holds does not depend on the depth, so that its sequences just go on; the first sample is taken
 * while Keyformer's temperature rises, each turn right after the prompt, and counts for the 128 tokens of that. Prompts are read whole by the full cache;
 * by others up to their budget and some chunks further, as all later chunks cost what these do. With `--whole` each case
 * runs from its first to its last token instead, one after the other.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import type { Model } from "../src/model/engine.ts";
import type { Sequence } from "../src/model/sequence.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { readRecord, writeRecord } from "./records.ts";
import { median } from "./statistics.ts";
import { commandLine } from "./usage.ts";

const CASES =
  "keyformer;keyformer:every=8;keyformer:every=8 x2;keyformer:every=8 x4;keyformer:every=8 x4 q4_0;" +
  "keyformer:every=8 0.25";
/** Parts of the reply behind which steps are timed. */
const DEPTHS = [0, 0.5, 1];
/** Tokens that are timed at once, and those before them. */
const [TURN, UNTIMED] = [16, 4];
/** Tokens after a prompt in which Keyformer's temperature rises. */
const RISE = 128;
const CHUNK = 64;
/** Chunks that are timed behind a budget. */
const CHUNKS_BEHIND = 4;

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["tokens", "cases", "rounds", "record"],
  boolean: ["whole"],
  default: { tokens: "2000", cases: CASES, rounds: "4" },
  unknown: line.unknown,
});
const [path] = args._.map(String);
if (path === undefined) line.lacks("MODEL");
const nTokens = Number(args.tokens);
const rounds = Number(args.rounds);

/** What a cache keeps, and how. */
interface Kind {
  readonly policy: string;
  readonly budget: number;
  readonly kvType: KvTypeName;
  readonly prefill: "whole" | "streaming";
}

interface Case extends Kind {
  readonly nSequences: number;
}

/** Sequences of one kind, which cases with as many or fewer of them share. */
interface Bed extends Kind {
  readonly model: Model;
  readonly sequences: readonly Sequence[];
  promptMs: number;
  /** The first sequence after the prompt, until the temperature has risen. */
  start?: Uint8Array;
}

interface Times {
  readonly cacheBytes: number;
  /** Of all sequences together. */
  readonly promptMs: number;
  readonly replyMs: number;
}

function parseCase(text: string): Case {
  const [policy, ...options] = text.trim().split(/\s+/);
  const found = (pattern: RegExp) => options.find((option) => pattern.test(option));
  return {
    policy,
    nSequences: Number(found(/^x\d+$/)?.slice(1) ?? 1),
    budget: policy === "full" ? 1 : Number(found(/^[\d.]+$/) ?? 0.5),
    kvType: (found(/^[qf]\d/) ?? "q8_0") as KvTypeName,
    prefill: found(/^whole$/) === undefined ? "streaming" : "whole",
  };
}

function kindOf({ policy, budget, kvType, prefill }: Kind): string {
  return [policy, budget, kvType, prefill].join();
}

function labelOf({ policy, budget, kvType, prefill, nSequences }: Case): string {
  return `${policy} x${nSequences} ${budget} ${kvType} ${prefill}`;
}

async function open(kind: Kind, nSequences: number): Promise<Bed> {
  const { policy, budget, kvType, prefill } = kind;
  // Of a prompt that is not read to its end, and what turns take behind it.
  const sampled = readOf(kind, nTokens) + RISE + DEPTHS.length * turnTokens(cases);
  const isShort = policy !== "full" && prefill === "streaming" && !args.whole;
  const model = await loadModel(path, {
    context: isShort ? sampled : 2 * nTokens,
    sequences: nSequences,
    kvType,
    ...(policy !== "full" && { policy, prefill, budget: Math.round(budget * nTokens) }),
  });
  return {
    ...kind,
    model,
    sequences: Array.from({ length: nSequences }, () => model.sequence()),
    promptMs: 0,
  };
}

/** Tokens that the turns of some cases take at each depth. */
function turnTokens(cases: readonly Case[]): number {
  return cases.length * (rounds + 1) * (UNTIMED + TURN);
}

function idsOf(model: Model, from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => ((from + i) * 7919 + 13) % model.hparams.nVocab);
}

/** Up to where a prompt is read to tell how long it takes up to `end`. */
function readOf({ policy, budget, prefill }: Kind, end: number): number {
  if (policy === "full" || prefill === "whole") return end;
  return Math.min(end, Math.round(budget * end) + (CHUNKS_BEHIND + 1) * CHUNK);
}

/** Reads a prompt up to `end`, or as much of it as it takes to tell; returns the milliseconds of the whole. */
async function read(bed: Bed, end: number): Promise<number> {
  const { model, sequences: [sequence] } = bed;
  const last = readOf(bed, end);
  const marks: { done: number; at: number }[] = [];
  const start = performance.now();
  await sequence.prefill(idsOf(model, sequence.position, last), {
    onProgress: ({ done }) => marks.push({ done, at: performance.now() - start }),
  });
  const { at } = marks.at(-1)!;
  if (last === end) return at;
  const [a, b] = [marks.at(-2 - CHUNKS_BEHIND)!, marks.at(-2)!];
  return at + (end - last) * (b.at - a.at) / (b.done - a.done);
}

/** All other sequences go on from where the first is. */
function spread({ sequences: [first, ...others] }: Bed): void {
  if (others.length === 0) return;
  const snapshot = first.save();
  for (const other of others) other.restore(snapshot);
}

/** Milliseconds of a step, mean over `n`. */
function decode(model: Model, sequences: readonly Sequence[], n: number): number {
  const start = performance.now();
  for (let i = 0; i < n; i++) model.decode(sequences, sequences.map(({ row }) => row.argmax()));
  return (performance.now() - start) / n;
}

/** Milliseconds of `n` steps whose medians at `DEPTHS` these are. */
function integrate(medians: readonly number[], { policy }: Kind, n: number): number {
  // Nothing grows under a policy; what differs at its start is the temperature.
  const rise = policy === "full" ? 0 : Math.min(RISE, n);
  const points = policy === "full" ? medians : [medians[1], ...medians.slice(1)];
  const between = points.slice(1).map((ms, i) => (DEPTHS[i + 1] - DEPTHS[i]) * (ms + points[i]) / 2);
  return rise * medians[0] + (n - rise) * between.reduce((a, b) => a + b);
}

async function sample(cases: readonly Case[]): Promise<Times[]> {
  // The last turns of the full cache fill it.
  const room = turnTokens(cases.filter(({ policy }) => policy === "full"));
  if (nTokens < 4 * room) {
    console.error(`a reply of ${nTokens} tokens is too short to be sampled: wanted ${4 * room}, or --whole`);
    Deno.exit(1);
  }
  const beds = new Map<string, Bed>();
  for (const it of cases) {
    const same = cases.filter((other) => kindOf(other) === kindOf(it));
    if (!beds.has(kindOf(it))) {
      beds.set(kindOf(it), await open(it, Math.max(...same.map((one) => one.nSequences))));
    }
  }
  const medians: number[][] = cases.map(() => []);
  for (const [i, depth] of DEPTHS.entries()) {
    for (const bed of beds.values()) {
      const { policy, model, sequences } = bed;
      if (i === 0) bed.promptMs = await read(bed, nTokens);
      else if (policy === "full") {
        await read(bed, Math.min(Math.round((1 + depth) * nTokens), 2 * nTokens - room));
      }
      if (policy === "full") spread(bed);
      else if (i === 0) bed.start = sequences[0].save();
      else if (i === 1) {
        for (const sequence of sequences) sequence.restore(bed.start!);
        bed.start = undefined;
        decode(model, sequences, RISE);
      }
    }
    const timed: number[][] = cases.map(() => []);
    // Forth and back, since what comes before a case leaves its mark.
    let order = [...cases.entries()];
    for (let round = 0; round <= rounds; round++) {
      order = order.toReversed();
      for (const [c, it] of order) {
        const { model, sequences, start } = beds.get(kindOf(it))!;
        const some = sequences.slice(0, it.nSequences);
        if (start !== undefined) some.forEach((sequence) => sequence.restore(start));
        // What the others have read has driven its weights out of the caches.
        decode(model, some, UNTIMED);
        const ms = decode(model, some, TURN);
        // The first one is to find everything compiled.
        if (round > 0) timed[c].push(ms);
      }
    }
    timed.forEach((turns, c) => medians[c].push(median(turns)));
  }
  const found = cases.map((it, c) => {
    const { sequences, promptMs } = beds.get(kindOf(it))!;
    return {
      cacheBytes: it.nSequences * sequences[0].cache().bytes,
      promptMs: it.nSequences * promptMs,
      replyMs: integrate(medians[c], it, nTokens - 1),
    };
  });
  for (const { model } of beds.values()) model.dispose();
  return found;
}

/** A case from its first to its last token. */
async function runWhole(it: Case): Promise<Times> {
  const { model, sequences } = await open(it, it.nSequences);
  let start = performance.now();
  for (const sequence of sequences) await sequence.prefill(idsOf(model, 0, nTokens));
  const promptMs = performance.now() - start;
  start = performance.now();
  decode(model, sequences, nTokens - 1);
  const replyMs = performance.now() - start;
  const cacheBytes = it.nSequences * sequences[0].cache().bytes;
  model.dispose();
  return { cacheBytes, promptMs, replyMs };
}

const cases = ["full", ...args.cases.split(";")].map(parseCase);
const times: Times[] = [];
if (args.whole) { for (const it of cases) times.push(await runWhole(it)); }
else times.push(...await sample(cases));

const rate = (c: number, ms: number) => 1000 * cases[c].nSequences * nTokens / ms;
const rows = cases.map((it, c) => {
  const { cacheBytes, promptMs, replyMs } = times[c];
  const reply = rate(c, replyMs);
  const all = rate(c, promptMs + replyMs);
  console.log(
    `${labelOf(it).padEnd(40)} ${nTokens} + ${nTokens}: cache ${(cacheBytes / 1e6).toFixed(1)} MB, ` +
      `reply ${reply.toFixed(1)} tok/s (${(reply / rate(0, times[0].replyMs)).toFixed(2)} x), ` +
      `with its prompt ${all.toFixed(1)} tok/s (${
        (all / rate(0, times[0].promptMs + times[0].replyMs)).toFixed(2)
      } x)`,
  );
  return {
    how: args.whole ? "whole" : "sampled",
    policy: it.policy,
    budget: it.budget,
    kv: it.kvType,
    prefill: it.prefill,
    sequences: it.nSequences,
    tokens: nTokens,
    cache_bytes: cacheBytes,
    prompt_ms: promptMs.toFixed(0),
    reply_ms: replyMs.toFixed(0),
  };
});
if (args.record !== undefined) {
  // Ratios hold within a run: nothing of an earlier one stays beside it.
  const others = (await readRecord(args.record)).filter(({ tokens }) => Number(tokens) !== nTokens);
  const all = [...others, ...rows].toSorted((a, b) => Number(a.tokens) - Number(b.tokens));
  await writeRecord(args.record, all);
}
