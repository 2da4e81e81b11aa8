/**
 * All systems side by side at equal bytes: what a cache of the same size is worth, whatever fills it.
 *
 *   deno task bench:policies --text ../shared/data/text/books-valid.txt.gz --text ../shared/data/text/wikitext-2-valid.txt
 *     [--model models/locket-books-q8_0.gguf] [--shares 0.5,0.25,0.1] [--cases 16] [--prompt 512] [--seeds 3]
 *     [--systems "h2o;full, q4_0"] [--prefill whole|streaming] [--record bench/record/systems.csv] [--json]
 *
 * A share is one of the bytes that the prompt takes in a full f16 cache. Every policy gets as many slots as fit into
 * these bytes with its scores and whatever else it stores. A system that has no budget runs once, and stands at the least
 * share that it fits into; one that fits into none is left at its own bytes. Losses are nats per token more than with the
 * full f32 cache, ± half the 95 % interval over cases.
 */
import { parseArgs } from "@std/cli/parse-args";
import { OptionError } from "../src/error.ts";
import type { PlanOptions } from "../src/model/plan.ts";
import { loadModel } from "../src/runtime/load_model.ts";
import { makeCases, type Task } from "./quality/cases.ts";
import { interval, mean, measure, type Outcome, readText } from "./quality/measure.ts";
import { type System, SYSTEMS } from "./quality/systems.ts";

const args = parseArgs(Deno.args, {
  string: ["model", "text", "shares", "cases", "prompt", "seeds", "systems", "prefill", "record"],
  boolean: ["json", "help"],
  collect: ["text"],
  default: {
    model: "models/locket-books-q8_0.gguf",
    shares: "0.5,0.25,0.1",
    cases: "16",
    prompt: "512",
    seeds: "3",
    prefill: "whole",
  },
});
if (args.help || args.text.length === 0) {
  console.log(
    "usage: deno task bench:policies --text FILE[.gz] [--text FILE] [--cases N] [--record FILE] [--json]",
  );
  Deno.exit(args.help ? 0 : 1);
}

const length = Number(args.prompt);
const nCases = Number(args.cases);
const shares: number[] = args.shares.split(",").map(Number);
const texts = await Promise.all((args.text as string[]).map(readText));
const titles = (args.text as string[]).map((path) => path.split("/").at(-1)!.split(/[-.]/)[0]);
const chosen: string[] | undefined = args.systems?.split(";");

/** Tasks, and the text that each is made of. */
const TASKS: readonly { readonly name: string; readonly task: Task; readonly text: number }[] = [
  ...titles.map((name, text) => ({ name, task: "text" as const, text })),
  { name: "copy", task: "again", text: 0 },
  { name: "keys", task: "facts", text: 0 },
  { name: "passkey", task: "passkey", text: 0 },
];

/** What one system came to in one run, by task; bytes allocated for the cache. */
interface Run {
  readonly outcomes: Readonly<Record<string, readonly Outcome[]>>;
  readonly allocatedBytes: number;
}

async function run(options: PlanOptions): Promise<Run> {
  const model = await loadModel(args.model, { context: length + 96, ...options });
  const { tokenizer } = model;
  const ids = texts.map((text) => tokenizer.encode(text.slice(0, 400_000), { addSpecial: false }));
  const sequence = model.sequence();
  const outcomes: Record<string, Outcome[]> = {};
  for (const { name, task, text } of TASKS) {
    outcomes[name] = [];
    for (const one of makeCases(task, tokenizer, ids[text], nCases, length)) {
      outcomes[name].push(await measure(sequence, one));
    }
  }
  const allocatedBytes = sequence.cache().bytes;
  model.dispose();
  return { outcomes, allocatedBytes };
}

/** Bytes of the prompt in a full f16 cache. */
async function f16Bytes(): Promise<number> {
  const model = await loadModel(args.model, { context: length + 96, kvType: "f16" });
  const { bytes, capacity } = model.sequence().cache();
  model.dispose();
  return bytes / capacity * length;
}

function seeded(policy: string, seed: number): string {
  return `${policy}${policy.includes(":") ? "," : ":"}seed=${seed}`;
}

interface Row {
  readonly system: string;
  readonly share: number | null;
  readonly bytes: number;
  readonly allocatedBytes: number;
  readonly prefill: number;
  readonly decode: number;
  readonly tasks: Readonly<Record<string, { loss: number; interval: number; hits: number }>>;
}

const reference = await run({ kvType: "f32" });
const whole = await f16Bytes();

/** One line of the table: a system, run with every seed. */
async function row({ name, options, draws }: System, share: number | null): Promise<Row> {
  const runs: Run[] = [];
  for (const seed of draws ? Array.from({ length: Number(args.seeds) }, (_, i) => i + 1) : [undefined]) {
    const { policy } = options;
    runs.push(
      await run({
        ...(policy !== undefined && { prefill: args.prefill as "whole" | "streaming" }),
        ...options,
        ...(share !== null && { budget: `${Math.floor(share * whole)}B` }),
        ...(seed !== undefined && { policy: seeded(policy as string, seed) }),
      }),
    );
  }
  const all = runs.flatMap(({ outcomes }) => Object.values(outcomes).flat());
  const total = (what: "prefillMs" | "decodeMs" | "nDecoded") => all.reduce((sum, one) => sum + one[what], 0);
  return {
    system: name,
    share,
    bytes: Math.max(...all.map(({ usedBytes }) => usedBytes)),
    allocatedBytes: runs[0].allocatedBytes,
    prefill: 1000 * length * all.length / total("prefillMs"),
    decode: 1000 * total("nDecoded") / total("decodeMs"),
    tasks: Object.fromEntries(TASKS.map(({ name }) => {
      // Seeds of one case belong together: the interval is over cases.
      const losses = reference.outcomes[name].map(({ nll }, i) =>
        mean(runs.map(({ outcomes }) => outcomes[name][i].nll)) - nll
      );
      const hits = mean(runs.flatMap(({ outcomes }) => outcomes[name].map(({ hit }) => hit ? 1 : 0)));
      return [name, { loss: mean(losses), interval: interval(losses), hits }];
    })),
  };
}

function print({ system, share, bytes, prefill, decode, tasks }: Row): void {
  const results = TASKS.map(({ name, task }) => {
    const { loss, interval, hits } = tasks[name];
    return task === "facts" || task === "passkey"
      ? `${name} ${Math.round(100 * hits)} %`
      : `${name} ${loss.toFixed(3)} ± ${interval.toFixed(3)}`;
  });
  console.log(
    `${system.padEnd(28)} ${share === null ? "own " : share.toFixed(2)} ${
      (bytes / 1e3).toFixed(0).padStart(5)
    } kB  ` +
      `${results.join(", ")}, prefill ${prefill.toFixed(0)}, decode ${decode.toFixed(0)} tok/s`,
  );
}

/** Writes what there is so far: a run takes long. */
async function record(): Promise<void> {
  if (args.record === undefined) return;
  const head = ["system", "share", "bytes", "allocated_bytes", "prefill", "decode"]
    .concat(TASKS.flatMap(({ name }) => [`${name}_loss`, `${name}_interval`, `${name}_hits`]));
  const lines = rows.map(({ system, share, bytes, allocatedBytes, prefill, decode, tasks }) =>
    [
      `"${system}"`,
      share ?? "",
      bytes,
      allocatedBytes,
      prefill.toFixed(0),
      decode.toFixed(0),
      ...TASKS.flatMap(({ name }) => Object.values(tasks[name]).map((value) => value.toFixed(4))),
    ].join(",")
  );
  await Deno.writeTextFile(args.record, [head.join(","), ...lines].join("\n") + "\n");
}

const rows: Row[] = [];
for (const system of SYSTEMS.filter(({ name }) => chosen === undefined || chosen.includes(name))) {
  for (const share of system.options.policy === undefined ? [null] : shares) {
    let done: Row;
    try {
      done = await row(system, share);
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      console.error(`${system.name} at ${share}: ${error.message}`);
      continue;
    }
    const fits = share ?? shares.toSorted((a, b) =>
      a - b
    ).find((share) => done.bytes <= share * whole * 1.01) ?? null;
    rows.push({ ...done, share: fits });
    if (!args.json) print(rows.at(-1)!);
    await record();
  }
}
if (args.json) console.log(JSON.stringify({ wholeBytes: whole, rows }, null, 2));
