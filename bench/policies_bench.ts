/**
 * Speed under cache policies against our own full cache, in the same run: prompts of some lengths, decoding behind them
 * with one sequence and with several, the share of a token that scoring and choosing take, and the memory planned.
 *
 *   deno run -A bench/policies_bench.ts MODEL --record bench/record/policies.csv
 *   deno run -A bench/plot_policies.ts bench/record/policies.csv docs/images docs/policies-speed.md
 *
 *   --lengths 2000,4000,8000   tokens of the prompt
 *   --policies A;B             beside full; "keyformer;keyformer:every=8;h2o;window"
 *   --budgets 0.5,0.25,0.1     shares of the prompt that are kept
 *   --sequences 1,2,4          how many read a token in one step, with all slots and with the first budget
 *   --turns 12                 turns of eight tokens that are timed
 *   --kv-type q8_0             keys and values
 *   --record FILE.csv          where rows go, in place of those of the same cases
 *
 * All cases of one prompt length decode by turns, eight tokens each and two before them, so that whatever slows the machine down slows all
 * of them; figures are medians over turns. A prompt is read up to the budget and some chunks further: all later chunks
 * cost what these do, and decoding depends on how many slots are held, not on what was dropped. Several sequences go on
 * from a snapshot of one. Before turns are timed, each policy decodes until Keyformer's temperature has risen.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import type { Model } from "../src/model/engine.ts";
import type { Sequence } from "../src/model/sequence.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { readRecord, writeRecord } from "./records.ts";
import { median } from "./statistics.ts";
import { commandLine } from "./usage.ts";

/** Tokens of a turn: as many as the rarest policy takes to act once. */
const TURN = 8;
/** Tokens at the start of each turn that are not. */
const UNTIMED = 2;
/** Chunks of a prompt that are timed behind its budget. */
const CHUNKS_BEHIND = 4;
/** Tokens after the prompt until the temperature has risen. */
const RISE = 128;

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["lengths", "policies", "budgets", "sequences", "turns", "kv-type", "record"],
  default: {
    lengths: "2000,4000,8000",
    policies: "keyformer;keyformer:every=8;h2o;window",
    budgets: "0.5,0.25,0.1",
    sequences: "1,2,4",
    turns: "12",
    "kv-type": "q8_0",
  },
  unknown: line.unknown,
});
const [path] = args._.map(String);
if (path === undefined) line.lacks("MODEL");
const numbers = (list: string) => list.split(",").map(Number);
const [lengths, budgets, counts] = [args.lengths, args.budgets, args.sequences].map(numbers);
const turns = Number(args.turns);

/** What is kept, by which policy. */
interface Kind {
  readonly policy: string;
  readonly budget: number;
}

/** Sequences that read tokens together, all at the same place. */
interface Case extends Kind {
  readonly model: Model;
  readonly sequences: readonly Sequence[];
  readonly prefillMs: number;
  /** Of a token while the temperature rises, and what of it goes into scores. */
  readonly rise: Turn;
  readonly timed: Turn[];
}

interface Turn {
  readonly stepMs: number;
  readonly scoringMs: number;
}

/** Milliseconds of one step, mean over `n`. */
function decode(model: Model, sequences: readonly Sequence[], n: number): Turn {
  const scoring = () => sequences.reduce((sum, sequence) => sum + sequence.cache().scoringMs, 0);
  const before = scoring();
  const start = performance.now();
  for (let i = 0; i < n; i++) model.decode(sequences, sequences.map(({ row }) => row.argmax()));
  const stepMs = (performance.now() - start) / n;
  return { stepMs, scoringMs: (scoring() - before) / n };
}

/** Tokens of a prompt that are read in place of `nTokens`. */
function tokensRead(nTokens: number, budget: number): number {
  return Math.min(nTokens, Math.floor(budget * nTokens) + (CHUNKS_BEHIND + 1) * 64);
}

/** Tokens that a policy decodes before turns. */
function warmth(policy: string): number {
  return policy === "full" ? TURN : RISE;
}

/** A model with room for `n` sequences behind a prompt of so many tokens. */
async function load({ policy, budget }: Kind, nTokens: number, n: number): Promise<Model> {
  const read = Math.max(nTokens, tokensRead(nTokens, budget) + warmth(policy));
  return await loadModel(path, {
    context: read + (UNTIMED + TURN) * (turns + 1),
    sequences: n,
    kvType: args["kv-type"] as KvTypeName,
    ...(policy !== "full" && { policy, budget: Math.floor(budget * nTokens) }),
  });
}

/** Reads as much of a prompt as it takes to tell what the whole takes; returns the milliseconds of the whole. */
async function prefill(sequence: Sequence, nTokens: number, budget: number): Promise<number> {
  const { nVocab } = sequence.tokenizer;
  const ids = Array.from({ length: tokensRead(nTokens, budget) }, (_, i) => (i * 7919 + 13) % nVocab);
  const marks: { done: number; at: number }[] = [];
  const start = performance.now();
  await sequence.prefill(ids, {
    onProgress: ({ done }) => marks.push({ done, at: performance.now() - start }),
  });
  const last = marks.at(-1)!;
  if (ids.length === nTokens) return last.at;
  const [from, to] = [marks.at(-2 - CHUNKS_BEHIND)!, marks.at(-2)!];
  return last.at + (nTokens - ids.length) * (to.at - from.at) / (to.done - from.done);
}

/** A policy with one sequence, and with all other numbers of them that are wanted. */
async function open(kind: Kind, nTokens: number, counts: readonly number[]): Promise<Case[]> {
  const model = await load(kind, nTokens, 1);
  const sequence = model.sequence();
  const prefillMs = await prefill(sequence, nTokens, kind.budget);
  const rise = decode(model, [sequence], warmth(kind.policy));
  const of = (model: Model, sequences: readonly Sequence[]): Case => {
    return { ...kind, model, sequences, prefillMs, rise, timed: [] };
  };
  const several = counts.filter((n) => n > 1);
  const snapshot = several.length > 0 ? sequence.save() : undefined;
  const cases = counts.includes(1) ? [of(model, [sequence])] : [];
  for (const n of several) {
    const model = await load(kind, nTokens, n);
    const sequences = Array.from({ length: n }, () => model.sequence());
    for (const sequence of sequences) sequence.restore(snapshot!);
    cases.push(of(model, sequences));
  }
  if (cases[0]?.model !== model) model.dispose();
  return cases;
}

/** One row of the record. */
function rowOf(it: Case, nTokens: number) {
  const [step, scoring] = [
    median(it.timed.map(({ stepMs }) => stepMs)),
    median(it.timed.map(({ scoringMs }) => scoringMs)),
  ];
  const { slots, bytes } = it.sequences[0].cache();
  return {
    policy: it.policy,
    budget: it.budget,
    tokens: nTokens,
    sequences: it.sequences.length,
    slots,
    cache_bytes: it.sequences.length * bytes,
    memory_bytes: it.model.memoryBytes,
    prefill_ms: it.prefillMs.toFixed(1),
    step_ms: step.toFixed(3),
    scoring_ms: scoring.toFixed(3),
    rise_step_ms: it.rise.stepMs.toFixed(3),
    rise_scoring_ms: it.rise.scoringMs.toFixed(3),
  };
}

/** Puts rows into the record, in place of those of the same cases. */
async function record(rows: readonly ReturnType<typeof rowOf>[]): Promise<void> {
  if (args.record === undefined) return;
  const key = (row: Record<string, unknown>) =>
    [row.tokens, row.policy, Number(row.budget), row.sequences].join();
  const all = new Map<string, Record<string, unknown>>();
  for (const row of [...await readRecord(args.record), ...rows]) all.set(key(row), row);
  await writeRecord(args.record, [...all.values()]);
}

const started = performance.now();
function report(line: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${line}`);
}

async function measure(nTokens: number): Promise<void> {
  const kinds: Kind[] = [
    { policy: "full", budget: 1 },
    ...args.policies.split(";").flatMap((policy: string) => budgets.map((budget) => ({ policy, budget }))),
  ];
  const cases: Case[] = [];
  for (const kind of kinds) {
    const isBatched = kind.policy === "full" || kind.budget === budgets[0];
    cases.push(...await open(kind, nTokens, isBatched ? counts : counts.filter((n) => n === 1)));
    report(`${nTokens} tokens, ${kind.policy} ${kind.budget}: ready`);
  }
  // The first one is to find everything compiled.
  for (let turn = 0; turn <= turns; turn++) {
    for (const { model, sequences, timed } of cases) {
      // What the others have read has driven its weights out of the caches.
      decode(model, sequences, UNTIMED);
      const result = decode(model, sequences, TURN);
      if (turn > 0) timed.push(result);
    }
  }
  const rows = cases.map((it) => rowOf(it, nTokens));
  cases.forEach(({ model }) => model.dispose());
  await record(rows);
  const full = Number(rows.find(({ policy, sequences }) => policy === "full" && sequences === 1)?.step_ms);
  for (const { policy, budget, sequences, step_ms, scoring_ms, rise_step_ms, rise_scoring_ms } of rows) {
    const [step, scoring] = [Number(step_ms), Number(scoring_ms)];
    const share = (part: number, of: number) => `${(100 * part / of).toFixed(1)} %`;
    report(
      `${nTokens} tokens, ${policy} ${budget}, ${sequences} at once: ` +
        `${(1000 * sequences / step).toFixed(1)} tokens/s, a step ${step.toFixed(2)} ms, ` +
        `scoring ${share(scoring, step)} (first ${RISE} tokens ${
          share(Number(rise_scoring_ms), Number(rise_step_ms))
        }), ` +
        `${(full * sequences / step).toFixed(2)} × full`,
    );
  }
}

for (const nTokens of lengths) await measure(nTokens);
