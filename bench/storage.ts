/**
 * What each storage of keys and values costs in bytes and in quality.
 *
 *   deno run -A bench/storage.ts MODEL TEXT[.gz] CALIBRATION_TEXT[.gz] [--windows 12] [--context 1024]
 *     [--tokens 16384]
 *     [--storages "plain;kivi:bits=2;…"] [--record bench/record/storage.csv]
 *
 * The text is cut into windows of the context's length, evenly spread; the first half of each is read as a prompt, the
 * second token by token, which counts: nats per token, and the difference to keys and values of 16 bits with its 95 %
 * interval over windows. Codebooks of `cq` are learned from the other text. Bytes are of the plan: those that one more
 * token takes of a KV head, keys and values together; those of a whole sequence, recent tokens included; and those of
 * codebooks, once for all sequences.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { Calibration } from "../src/cache/calibration.ts";
import type { KvTypeName } from "../src/cache/kv_cache.ts";
import { calibrate } from "../src/calibrate/calibrate.ts";
import type { WeightKind } from "../src/calibrate/collect.ts";
import { scoreContinuation } from "../src/model/continuation.ts";
import { calibrationModule } from "../src/runtime/calibration_module.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { openSource } from "../src/runtime/open_source.ts";
import { readText } from "./quality/measure.ts";
import { interval, mean } from "./statistics.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["windows", "context", "record", "storages", "tokens"],
  default: {
    windows: "12",
    context: "1024",
    tokens: "16384",
    storages: "plain f16;plain q8_0;plain q4_0;kivi:bits=4;kivi:bits=2;think:prune=0.4 q8_0;" +
      "think:prune=0.6 q8_0;cq:channels=2;cq:channels=4;cq:channels=8;cq:channels=4 attention;cq:channels=4 none",
  },
  unknown: line.unknown,
});
const [path, textPath, calibrationPath] = args._.map(String);
if (calibrationPath === undefined) line.lacks("one of MODEL TEXT CALIBRATION_TEXT");

const text = await readText(textPath);
const learned = (await readText(calibrationPath)).slice(0, 8 * Number(args.tokens));
const [context, nWindows] = [Number(args.context), Number(args.windows)];
const calibrations = new Map<string, Promise<Calibration>>();

const WEIGHTS: readonly WeightKind[] = ["fisher", "attention", "none"];

/** The codebooks for groups of so many channels, learned once. */
function calibration(channels: number, weights: WeightKind): Promise<Calibration> {
  const key = `${channels} ${weights}`;
  const known = calibrations.get(key) ??
    calibrate(openSource(path), learned, {
      kernels: calibrationModule,
      channels,
      weights,
      tokens: Number(args.tokens),
    });
  calibrations.set(key, known);
  return known;
}

/** Loss of each window, and bytes. */
async function measure(name: string) {
  const [storage, more] = name.split(" ");
  const channels = /^cq:channels=(\d)/.exec(storage)?.[1];
  const weights = WEIGHTS.find((kind) => kind === more);
  const model = await loadModel(path, {
    context,
    storage,
    kvType: weights === undefined ? more as KvTypeName | undefined : undefined,
    ...(channels && { calibration: await calibration(Number(channels), weights ?? "fisher") }),
  });
  const ids = model.tokenizer.encode(text, { addSpecial: false });
  const sequence = model.sequence();
  const losses: number[] = [];
  for (let w = 0; w < nWindows; w++) {
    const start = Math.floor((ids.length - context) * w / nWindows);
    const window = ids.slice(start, start + context);
    sequence.reset();
    const half = context >> 1;
    const { nll, tokens } = await scoreContinuation(sequence, window.slice(0, half), window.slice(half));
    losses.push(nll / tokens);
  }
  const [{ keys, values, capacity, nKvHeads }] = model.plan.sequences[0].cache;
  const bytes = {
    token: (keys.length + values.length) / capacity / nKvHeads,
    sequence: sequence.cache().bytes,
    books: model.plan.books?.length ?? 0,
  };
  model.dispose();
  return { losses, bytes };
}

const rows = ["storage,token_bytes,sequence_bytes,codebook_bytes,nll,loss,loss_interval"];
console.log(rows[0]);
let base: readonly number[] | undefined;
for (const name of args.storages.split(";")) {
  const { losses, bytes } = await measure(name);
  base ??= losses;
  const loss = losses.map((value, i) => value - base![i]);
  const figures = [mean(losses), mean(loss), interval(loss)].map((x) => x.toFixed(4));
  rows.push([name.replaceAll(",", " "), bytes.token, bytes.sequence, bytes.books, ...figures].join(","));
  console.log(rows.at(-1));
}
if (args.record !== undefined) await Deno.writeTextFile(args.record, rows.join("\n") + "\n");
