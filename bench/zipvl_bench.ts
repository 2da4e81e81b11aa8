/**
 * ZipVL: what reading a prompt sparsely saves in time and bytes against the full cache, and what it costs in loss.
 *
 *   deno run -A bench/zipvl_bench.ts speed MODEL [--tokens 2000] [--systems A;B] [--record CSV]
 *   deno run -A bench/zipvl_bench.ts loss MODEL TEXT[.gz] [--prompt 960] [--tokens 64] [--cases 16]
 *     [--systems A;B] [--record CSV]
 *
 * A system is `full`, or parameters of `zipvl`, how prompts are read, and the budget if it isn't 1, as
 * `tau=0.6 sparse 0.45`. `speed` reads arbitrary
 * tokens, in a context of the prompt and 128 more, and writes 16; bytes are of the sequence's cache, and of the room
 * beside weights that all share. `loss` lets the model go on with windows of a text. Shares are of the prompt's tokens that
 * each layer keeps, or keeps in all bits.
 */
import { parseArgs } from "@std/cli/parse-args";
import { scoreContinuation } from "../src/model/continuation.ts";
import type { Model } from "../src/model/engine.ts";
import type { Sequence } from "../src/model/sequence.ts";
import { loadModel, type LoadModelOptions } from "../src/runtime/load_model.ts";
import { readText } from "./quality/measure.ts";
import { interval, mean, median } from "./statistics.ts";
import { readRecord, writeRecord } from "./records.ts";
import { commandLine } from "./usage.ts";

const SYSTEMS = {
  speed:
    "full;tau=0.97 sparse;tau=0.6 sparse 0.45;tau=0.4 sparse 0.25;rows=all,tau=0.6 sparse 0.45;rows=all,tau=0.4 sparse 0.25;others=demote,tau=0.97 sparse 0.6",
  loss: "full;tau=0.99 whole;tau=0.97 whole;tau=0.9 whole;tau=0.99 sparse;tau=0.97 sparse;tau=0.9 sparse;" +
    "rows=all,tau=0.97 sparse;rows=all,tau=0.9 sparse;rows=all,tau=0.75 sparse;tau=0.75 whole;" +
    "others=demote,tau=0.97 streaming;others=demote,tau=0.9 streaming;others=demote,tau=0.75 streaming",
};

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["tokens", "prompt", "cases", "systems", "record"],
  default: { prompt: "960", cases: "16" },
  unknown: line.unknown,
});
const [what, path, textPath] = args._.map(String);
if (!(what === "speed" && path) && !(what === "loss" && textPath)) {
  line.lacks("speed MODEL or loss MODEL TEXT");
}
const tokens = Number(args.tokens ?? (what === "speed" ? 2000 : 64));
const systems = (args.systems ?? SYSTEMS[what as keyof typeof SYSTEMS]).split(";");

/** Tokens after the prompt that there is room for. */
const RESERVE = 128;

function optionsOf(system: string): LoadModelOptions {
  const [params, prefill, budget = 1] = system.split(" ");
  if (params === "full") return {};
  return {
    policy: `zipvl:reserve=${RESERVE},${params}`,
    budget,
    prefill: prefill as LoadModelOptions["prefill"],
  };
}

/** The share of the prompt that each layer has kept, where others leave. */
function sharesOf(system: string, sequence: Sequence): number[] {
  return system === "full" || system.includes("demote") ? [] : sequence.cache().kept.map(({ mean }) => mean);
}

function shareColumns(shares: readonly number[]) {
  return {
    share: shares.length === 0 ? "" : mean(shares).toFixed(3),
    shares: shares.map((share) => share.toFixed(2)).join(" "),
  };
}

/** Bytes beside weights and vocabulary. */
function working(model: Model): number {
  const { regions } = model.plan;
  return regions.filter(({ name }) => name !== "weights" && name !== "vocabulary")
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

async function speed(system: string) {
  const model = await loadModel(path, { context: tokens + RESERVE, ...optionsOf(system) });
  const { nLayers, nKvHeads, headDim, valueDim, nVocab } = model.hparams;
  const ids = Array.from({ length: tokens }, (_, i) => (i * 7919 + 13) % nVocab);
  const sequence = model.sequence();
  const start = performance.now();
  await sequence.prefill(ids);
  const prefillMs = performance.now() - start;
  const shares = sharesOf(system, sequence);
  const steps = Array.from({ length: 16 }, () => {
    const before = performance.now();
    sequence.decode(sequence.row.argmax());
    return performance.now() - before;
  });
  const { bytes } = sequence.cache();
  const row = {
    what,
    system,
    tokens: String(tokens),
    prefill_ms: prefillMs.toFixed(0),
    decode_ms: median(steps).toFixed(2),
    cache_bytes: String(bytes),
    of_f16: (bytes / (2 * (tokens + RESERVE) * nLayers * nKvHeads * (headDim + valueDim))).toFixed(3),
    working_bytes: String(working(model)),
    nll: "",
    loss: "",
    loss_interval: "",
    ...shareColumns(shares),
  };
  model.dispose();
  return row;
}

let base: readonly number[] | undefined;

async function loss(system: string) {
  const prompt = Number(args.prompt);
  const model = await loadModel(path, { context: prompt + tokens, ...optionsOf(system) });
  const ids = model.tokenizer.encode(await readText(textPath), { addSpecial: false });
  const sequence = model.sequence();
  const shares: number[][] = [];
  const losses: number[] = [];
  const nCases = Number(args.cases);
  for (let i = 0; i < nCases; i++) {
    const start = Math.floor((ids.length - prompt - tokens) * i / nCases);
    const window = ids.slice(start, start + prompt + tokens);
    sequence.reset();
    await sequence.prefill(window.slice(0, prompt));
    shares.push(sharesOf(system, sequence));
    sequence.reset();
    const { nll, tokens: scored } = await scoreContinuation(
      sequence,
      window.slice(0, prompt),
      window.slice(prompt),
    );
    losses.push(nll / scored);
  }
  base ??= losses;
  const more = losses.map((value, i) => value - base![i]);
  const { bytes } = sequence.cache();
  const row = {
    what,
    system,
    tokens: String(prompt),
    prefill_ms: "",
    decode_ms: "",
    cache_bytes: String(bytes),
    of_f16: "",
    working_bytes: String(working(model)),
    nll: mean(losses).toFixed(4),
    loss: mean(more).toFixed(4),
    loss_interval: interval(more).toFixed(4),
    ...shareColumns(shares[0].map((_, layer) => mean(shares.map((one) => one[layer])))),
  };
  model.dispose();
  return row;
}

for (const system of systems) {
  const row = what === "speed" ? await speed(system) : await loss(system);
  console.log(Object.values(row).join(", "));
  if (args.record === undefined) continue;
  const same = (other: Record<string, string>) =>
    (["what", "system", "tokens"] as const).every((name) => other[name] === row[name]);
  await writeRecord(args.record, [...(await readRecord(args.record)).filter((other) => !same(other)), row]);
}
