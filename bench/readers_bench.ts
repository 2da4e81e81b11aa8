/**
 * Readers against plain attention: how many keys a token reads of a long prefix, the time of attention and of choosing,
 * and what it costs in loss.
 *
 *   deno run -A bench/readers_bench.ts speed MODEL [--tokens 8000] [--readers A;B] [--steps 24]
 *     [--saved FOLDER] [--record CSV]
 *   deno run -A bench/readers_bench.ts loss MODEL TEXT [--prefix 768] [--tokens 128] [--cases 16]
 *     [--readers A;B] [--record CSV]
 *
 * `speed` decodes behind a prefix of arbitrary tokens; with --saved prefixes are kept from run to run. `loss` lets the model
 * go on with the text. Readers are separated by semicolons; dense is always the first.
 */
import { parseArgs } from "@std/cli/parse-args";
import { PlainStorage } from "../src/cache/storage/plain.ts";
import { CacheKernels } from "../src/kernels/cache_kernels.ts";
import { ClusterKernels } from "../src/kernels/cluster_kernels.ts";
import { headSlots } from "../src/kernels/head_slots.ts";
import { PageKernels } from "../src/kernels/page_kernels.ts";
import type { LayerCache } from "../src/memory/handles.ts";
import { scoreContinuation } from "../src/model/continuation.ts";
import type { Model } from "../src/model/engine.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { readText } from "./quality/measure.ts";
import { interval, mean, median } from "./statistics.ts";
import { commandLine } from "./usage.ts";

const DEFAULT = [
  "quest:tokens=0.333,dense=0",
  "quest:tokens=0.125,dense=0",
  "squeezed:rho=0.667",
  "squeezed:rho=0.875",
  "squeezed:rho=0.667,coarse=0.01,rhoCoarse=0.5",
  "squeezed:rho=0.875,coarse=0.01,rhoCoarse=0.7",
].join(";");

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["tokens", "prefix", "cases", "readers", "saved", "record", "steps"],
  default: { readers: DEFAULT, cases: "16", prefix: "768", steps: "24" },
  unknown: line.unknown,
});
const [what, path, textPath] = args._.map(String);
const readers = ["dense", ...args.readers.split(";")];

/** What the calls of one step took and read. */
const meter = { attend: 0, choose: 0, keys: 0, read: 0, blocks: 0, blocksRead: 0 };

function ones(bits: number): number {
  let n = 0;
  for (let left = bits; left !== 0; left &= left - 1) n++;
  return n;
}

/** Counts what a call of attention may read. */
function count(memory: Uint32Array, { active, slots, nKvHeads, capacity }: LayerCache): void {
  for (let head = 0; head < nKvHeads; head++) {
    const used = headSlots(memory.buffer, { slots, capacity }, head).header[0];
    meter.keys += used;
    meter.blocks += Math.ceil(used / 32);
    for (let word = 0; word < Math.ceil(used / 32); word++) {
      const inside = Math.min(32, used - 32 * word);
      const bits = active === undefined
        ? 0xffffffff
        : memory[(active.offset >>> 2) + head * capacity / 32 + word];
      const own = inside === 32 ? bits : bits & (2 ** inside - 1);
      meter.read += ones(own);
      meter.blocksRead += own === 0 ? 0 : 1;
    }
  }
}

/** Measures every call of a method from now on. */
function watch<T extends object>(type: { prototype: T }, name: keyof T, field: "attend" | "choose"): void {
  const inner = type.prototype[name] as (...values: unknown[]) => unknown;
  type.prototype[name] = function (this: T, ...values: unknown[]) {
    const start = performance.now();
    const result = inner.apply(this, values);
    meter[field] += performance.now() - start;
    return result;
  } as T[typeof name];
}

/** Counts what attention reads while that is wanted. */
function countReads(): void {
  const { attend } = PlainStorage.prototype;
  PlainStorage.prototype.attend = function (layer, ...rest) {
    attend.call(this, layer, ...rest);
    if (counting) count(new Uint32Array(this.rules.kernels.buffer), this.layers[layer]);
  };
}

let counting = false;

async function speed(): Promise<void> {
  const nTokens = Number(args.tokens ?? 8000);
  watch(CacheKernels, "attend", "attend");
  watch(PageKernels, "extend", "choose");
  watch(PageKernels, "choose", "choose");
  watch(ClusterKernels, "choose", "choose");
  countReads();
  const rows = ["reader,tokens,keys_read,blocks_read,attend_ms,choose_ms,token_ms,bytes"];
  for (const reader of readers) {
    const model = await loadModel(path, { context: nTokens + 64, chunk: 64, read: reader });
    const sequence = model.sequence();
    const file = `${args.saved}/${reader.replace(/[^a-z0-9.]+/gi, "-")}-${nTokens}.kv`;
    const saved = args.saved === undefined ? undefined : await Deno.readFile(file).catch(() => undefined);
    if (saved !== undefined) sequence.restore(saved);
    else {
      const ids = Array.from({ length: nTokens }, (_, i) => (i * 7919 + 13) % model.hparams.nVocab);
      const start = performance.now();
      if (reader.startsWith("squeezed")) await sequence.squeeze(ids);
      else await sequence.prefill(ids);
      console.error(`${reader}: prefix read in ${((performance.now() - start) / 1000).toFixed(1)} s`);
      if (args.saved !== undefined) await Deno.writeFile(file, sequence.save());
    }
    const times: { attend: number; choose: number; token: number }[] = [];
    for (let step = 0; step < Number(args.steps); step++) {
      Object.assign(meter, { attend: 0, choose: 0 });
      const start = performance.now();
      sequence.decode((step * 331 + 7) % model.hparams.nVocab);
      times.push({ attend: meter.attend, choose: meter.choose, token: performance.now() - start });
    }
    Object.assign(meter, { keys: 0, read: 0, blocks: 0, blocksRead: 0 });
    counting = true;
    sequence.decode(5);
    counting = false;
    const of = (field: "attend" | "choose" | "token") => median(times.map((time) => time[field])).toFixed(2);
    const row = [
      reader.replaceAll(",", " "),
      nTokens,
      (meter.read / meter.keys).toFixed(4),
      (meter.blocksRead / meter.blocks).toFixed(4),
      of("attend"),
      of("choose"),
      of("token"),
      sequence.cache().bytes,
    ].join(",");
    rows.push(row);
    console.log(row);
    model.dispose();
  }
  if (args.record !== undefined) await Deno.writeTextFile(args.record, rows.join("\n") + "\n");
}

async function loss(): Promise<void> {
  const [prefix, nTokens, nCases] = [Number(args.prefix), Number(args.tokens ?? 128), Number(args.cases)];
  const text = await readText(textPath);
  const rows = ["reader,cases,keys_read,nats,more_than_dense,half_interval"];
  countReads();
  let dense: number[] = [];
  for (const reader of readers) {
    const model: Model = await loadModel(path, { context: prefix + nTokens, read: reader });
    const ids = model.tokenizer.encode(text, { addSpecial: false });
    const sequence = model.sequence();
    const losses: number[] = [];
    Object.assign(meter, { keys: 0, read: 0, blocks: 0, blocksRead: 0 });
    for (let i = 0; i < nCases; i++) {
      const start = Math.floor(i * (ids.length - prefix - nTokens) / nCases);
      const [head, tail] = [
        ids.slice(start, start + prefix),
        ids.slice(start + prefix, start + prefix + nTokens),
      ];
      sequence.reset();
      if (reader.startsWith("squeezed")) await sequence.squeeze(head.slice(0, -1));
      else await sequence.prefill(head.slice(0, -1));
      const { nll, tokens } = await scoreContinuation(sequence, head.slice(-1), tail);
      losses.push(nll / tokens);
      // The last token of all, which tells nothing of the loss.
      counting = true;
      sequence.decode(tail.at(-1)!);
      counting = false;
    }
    if (reader === "dense") dense = losses;
    const more = losses.map((value, i) => value - dense[i]);
    const figures = [meter.read / meter.keys, mean(losses), mean(more), interval(more)].map((x) =>
      x.toFixed(4)
    );
    const row = [reader.replaceAll(",", " "), nCases, ...figures].join(",");
    rows.push(row);
    console.log(row);
    model.dispose();
  }
  if (args.record !== undefined) await Deno.writeTextFile(args.record, rows.join("\n") + "\n");
}

if (what === "speed" && path !== undefined) await speed();
else if (what === "loss" && textPath !== undefined) await loss();
else line.lacks("speed MODEL or loss MODEL TEXT");
