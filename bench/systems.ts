/**
 * All systems side by side at equal bytes: what a cache of the same size is worth, whatever fills it.
 *
 *   deno task bench:policies --text ../shared/data/text/books-valid.txt.gz --text ../shared/data/text/wikitext-2-valid.txt
 *     --text ../shared/data/code/python-stdlib-sample.txt.gz@0.9 --learn ../shared/data/text/books-train.txt.gz
 *     --record bench/record/systems.csv --plots docs/images [--document docs/systems.md] [--only quality|speed]
 *     [--model models/locket-books-q8_0.gguf]
 *     [--shares 0.5,0.25,0.1] [--cases 8] [--seeds 4] [--prompt 512] [--systems "h2o;full, q4_0"]
 *     [--prefill whole|streaming]
 *
 * A share is one of the bytes that the prompt takes in a full f16 cache. Every policy gets as many slots as fit into these
 * bytes with its scores and whatever else it stores. A system that has no budget stands at the least share that it fits
 * into; one that fits into none is left at its own bytes. Every seed draws `--cases` other prompts of each kind, and other
 * noise for the policies that draw; all systems answer the same. Losses are nats per token more than with the full f32
 * cache, on the same prompts. Codebooks are learned from `--learn`; without it systems that need them are left out.
 * `FILE@0.9` is the last tenth of a text.
 *
 * Quality doesn't care what else the machine does, speed does: `--only` takes them apart. The record of speed lies beside
 * that of quality, as NAME-speed.csv, and both are written as they come. Rows of systems that are not among `--systems`
 * stay as they are in the record.
 */
import { parseArgs } from "@std/cli/parse-args";
import { calibrate } from "../src/calibrate/calibrate.ts";
import { OptionError } from "../src/error.ts";
import type { PlanOptions } from "../src/model/plan.ts";
import { calibrationModule } from "../src/runtime/calibration_module.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { openSource } from "../src/runtime/open_source.ts";
import { showSystems, speedRecord } from "./plot_systems.ts";
import { facts, passage, passkey, type Prompt, ROOM } from "./quality/cases.ts";
import { type Answers, append, ask, behind, readText, seeded } from "./quality/measure.ts";
import { interval, mean } from "./statistics.ts";
import { measureSpeed } from "./quality/speed.ts";
import { type System, SYSTEMS } from "./quality/systems.ts";
import { readRecord, type Row, writeRecord } from "./records.ts";
import { commandLine } from "./usage.ts";

const command = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: [
    ...["model", "text", "learn", "shares", "cases", "prompt", "seeds", "systems", "prefill"],
    ...["only", "record", "plots", "document"],
  ],
  collect: ["text"],
  default: {
    model: "models/locket-books-q8_0.gguf",
    shares: "0.5,0.25,0.1",
    cases: "8",
    prompt: "512",
    seeds: "4",
    prefill: "whole",
  },
  unknown: command.unknown,
});
if (args.text.length === 0) command.lacks("--text");
if (args.record === undefined) command.lacks("--record");

const { model: path, record } = args;
const [length, nCases, nSeeds] = [args.prompt, args.cases, args.seeds].map(Number);
const context = length + ROOM;
const shares: number[] = args.shares.split(",").map(Number);
const names: string[] | undefined = args.systems?.split(";");
const titles = (args.text as string[]).map((path) => path.split("/").at(-1)!.split(/[-.]/)[0]);

const { whole, tokenizer } = await (async () => {
  const model = await loadModel(path, { context, kvType: "f16" });
  const { bytes, capacity } = model.sequence().cache();
  model.dispose();
  return { whole: bytes / capacity * length, tokenizer: model.tokenizer };
})();
const texts = (await Promise.all((args.text as string[]).map(readText)))
  .map((text) => tokenizer.encode(text, { addSpecial: false }));

/** Codebooks for so many channels together, as options. */
async function learned(channels: number): Promise<PlanOptions> {
  const text = (await readText(args.learn!)).slice(0, 150_000);
  return { calibration: await calibrate(openSource(path), text, { kernels: calibrationModule, channels }) };
}

/** A system within so many bytes, or without a budget. */
interface Entry {
  readonly system: System;
  readonly share: number | null;
  readonly options: PlanOptions & { readonly context: number };
}

async function entries(): Promise<Entry[]> {
  const all: Entry[] = [];
  for (const system of SYSTEMS) {
    const { name, options, channels, most = 1 } = system;
    if (names !== undefined && !names.includes(name)) continue;
    if (channels !== undefined && args.learn === undefined) continue;
    const more = channels === undefined ? {} : await learned(channels);
    for (const share of options.policy === undefined ? [null] : shares.filter((share) => share <= most)) {
      const bounds = share === null ? {} : {
        prefill: args.prefill as "whole" | "streaming",
        budget: `${Math.floor(share * whole)}B`,
      };
      all.push({ system, share, options: { context, ...bounds, ...options, ...more } });
    }
  }
  return all;
}

/** Leaves out what does not go within its bytes, with the reason. */
async function within<T>({ system, share }: Entry, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    console.error(`${system.name} at ${share}: ${error.message}`);
  }
}

/** The prompts of one seed. */
function prompts(seed: number): Prompt[] {
  const sources = texts.map((ids) => ({ tokenizer, ids, length }));
  return Array.from({ length: nCases }, (_, i) => {
    const drawn = 1000 * seed + i;
    return [
      ...sources.map((source, text) =>
        passage(source, drawn, { text: titles[text], ...(text === 0 && { again: "copy" }) })
      ),
      facts(sources[0], drawn, "keys"),
      passkey(sources[0], drawn, "passkey"),
    ];
  }).flat();
}

interface Measured {
  readonly entry: Entry;
  readonly answers: Answers;
  readonly bytes: number;
  readonly allocatedBytes: number;
  readonly peakBytes: number;
}

/** Rows of a record that this run leaves as they are. */
async function untouched(path: string): Promise<Row[]> {
  if (names === undefined) return [];
  return (await readRecord(path)).filter((row) => !names.includes(row.system));
}

/** Rows in the order of the systems, shares of one as they come. */
function ordered<R extends { readonly system?: unknown }>(rows: readonly R[]): R[] {
  const at = new Map(SYSTEMS.map(({ name }, i) => [name as unknown, i]));
  return rows.toSorted((a, b) => at.get(a.system)! - at.get(b.system)!);
}

async function quality(all: readonly Entry[]): Promise<void> {
  const reference: Answers = {};
  const others = await untouched(record!);
  const measured = new Map<Entry, Measured>();
  for (let seed = 1; seed <= nSeeds; seed++) {
    const asked = prompts(seed);
    append(reference, (await ask(path, { context, kvType: "f32" }, asked)).answers);
    for (const entry of all) {
      const { policy } = entry.options;
      const options = typeof policy === "string"
        ? { ...entry.options, policy: seeded(policy, seed) }
        : entry.options;
      const outcome = await within(entry, () => ask(path, options, asked));
      if (outcome === undefined) continue;
      const before = measured.get(entry);
      const answers = before?.answers ?? {};
      append(answers, outcome.answers);
      const { usedBytes, allocatedBytes, peakBytes } = outcome;
      const bytes = Math.max(before?.bytes ?? 0, usedBytes);
      measured.set(entry, { entry, answers, bytes, allocatedBytes, peakBytes });
    }
    const rows = [...measured.values()];
    await writeRecord(record!, ordered([...others, ...rows.map((one) => line(one, reference, rows))]));
    console.error(`${new Date().toISOString()} seed ${seed} of ${nSeeds}: ${rows.length} rows`);
  }
}

/** One line of the record: what a system came to, against the full cache and against a window of as many bytes. */
function line(one: Measured, reference: Answers, all: readonly Measured[]): Record<string, unknown> {
  const { entry: { system, share }, answers, bytes, allocatedBytes, peakBytes } = one;
  const least = shares.toSorted((a, b) => a - b).find((share) => bytes <= share * whole * 1.01);
  const window = all.find(({ entry }) => entry.system.name === "window" && entry.share === share)?.answers;
  const tasks = Object.entries(answers).flatMap(([task, said]) => {
    const numbers: Record<string, number | undefined> = {
      nll: mean(said.map(({ nll }) => nll)),
      ...named("loss", behind(said, reference[task])),
      ...named("behind_window", window && behind(said, window[task])),
      hits: mean(said.map(({ hits }) => hits)),
      hits_interval: interval(said.map(({ hits }) => hits)),
    };
    return Object.entries(numbers).map(([name, value]) => [`${task}_${name}`, value?.toFixed(4) ?? ""]);
  });
  return {
    system: system.name,
    share: share ?? least ?? "",
    prompts: answers[titles[0]].length,
    bytes: Math.round(bytes),
    allocated_bytes: allocatedBytes,
    peak_bytes: peakBytes,
    ...Object.fromEntries(tasks),
  };
}

const named = (name: string, value: readonly [number, number] | undefined) => ({
  [name]: value?.[0],
  [`${name}_interval`]: value?.[1],
});

async function speed(all: readonly Entry[]): Promise<void> {
  const [{ ids }] = prompts(1);
  const rows: Record<string, unknown>[] = await untouched(speedRecord(record!));
  for (const entry of all) {
    const measured = await within(entry, () => measureSpeed(path, entry.options, ids));
    if (measured === undefined) continue;
    rows.push({
      system: entry.system.name,
      share: entry.share ?? "",
      prefill: measured.prefill.toFixed(0),
      decode: measured.decode.toFixed(0),
    });
    await writeRecord(speedRecord(record!), ordered(rows));
  }
}

const all = await entries();
if (args.only !== "speed") await quality(all);
if (args.only !== "quality") await speed(all);
await showSystems(record, args.plots, args.document);
