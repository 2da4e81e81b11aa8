/**
 * Draws what `bench/policies_bench.ts` recorded, as SVG, and writes it as tables: into a document between its comments
 * `<!-- policies.csv -->` and `<!-- / -->`, or to the terminal; and so what `bench/throughput_bench.ts` recorded beside
 * it, after `<!-- throughput.csv -->`.
 *
 *   deno run -A bench/plot_policies.ts RECORD.csv FOLDER [DOCUMENT.md]
 */
import { parseArgs } from "@std/cli/parse-args";
import { draw, table } from "./plotting.ts";
import { readRecord, type Row } from "./records.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const [record, folder, document] = parseArgs(Deno.args, { unknown: line.unknown })._.map(String);
if (folder === undefined) line.lacks(record === undefined ? "RECORD.csv" : "FOLDER");

const rows = await readRecord(record);
const single = rows.filter(({ sequences }) => sequences === "1");
const lengths = [...new Set(rows.map(({ tokens }) => tokens))];

const fixed = (value: number, digits: number) => value.toFixed(digits);
const counted = (value: string) => Number(value).toLocaleString("en-US");
const mb = (bytes: number) => `${fixed(bytes / 1e6, 1)} MB`;
const share = (part: string, of: string) => `${fixed(100 * Number(part) / Number(of), 1)} %`;
/** Tokens a second, of all sequences together. */
const speed = (row: Row) => 1000 * Number(row.sequences) / Number(row.step_ms);

/** The full cache with so many sequences, in the same run. */
function fullOf({ tokens }: Row, sequences: string): Row | undefined {
  return rows.find((row) => row.policy === "full" && row.tokens === tokens && row.sequences === sequences);
}

function ratio(row: Row, sequences = "1"): string {
  const full = fullOf(row, sequences);
  return full === undefined ? "" : fixed(speed(row) / speed(full), 2);
}

const scored = (row: Row) => Number(row.scoring_ms) > 0;
const oneByOne = table(
  [
    "prompt",
    "policy",
    "budget",
    "cache",
    "prompt",
    "a token",
    "tokens/s",
    "scoring",
    "in the first 128 tokens",
    "× full",
  ],
  single.map((row) => [
    counted(row.tokens),
    row.policy,
    row.budget,
    mb(Number(row.cache_bytes)),
    `${fixed(Number(row.prefill_ms) / 1000, 1)} s`,
    `${fixed(Number(row.step_ms), 2)} ms`,
    fixed(speed(row), 0),
    scored(row) ? share(row.scoring_ms, row.step_ms) : "-",
    scored(row) ? share(row.rise_scoring_ms, row.rise_step_ms) : "-",
    ratio(row),
  ]),
);

/** Policies at the budget that several sequences ran at. */
const batched = rows.filter(({ policy, tokens, budget }) =>
  rows.some((row) =>
    row.policy === policy && row.tokens === tokens && row.budget === budget && row.sequences !== "1"
  )
);
const together = table(
  ["prompt", "policy", "budget", "sequences", "caches", "a step", "tokens/s", "× as many full", "× one full"],
  batched.map((row) => [
    counted(row.tokens),
    row.policy,
    row.budget,
    row.sequences,
    mb(Number(row.cache_bytes)),
    `${fixed(Number(row.step_ms), 2)} ms`,
    fixed(speed(row), 0),
    ratio(row, row.sequences),
    ratio(row),
  ]),
);

/** Twice the sequences at half of the slots, against the full cache in the same memory. */
const pairs = batched.filter(({ policy, budget, sequences }) =>
  policy !== "full" && budget === "0.5" && Number(sequences) % 2 === 0
);
const equalMemory = table(
  ["prompt", "policy", "at half", "full", "caches", "tokens/s", "against"],
  pairs.flatMap((row) => {
    const full = fullOf(row, String(Number(row.sequences) / 2));
    if (full === undefined) return [];
    const caches = [row, full].map(({ cache_bytes }) => fixed(Number(cache_bytes) / 1e6, 1));
    return [[
      counted(row.tokens),
      row.policy,
      row.sequences,
      full.sequences,
      `${caches.join(" and ")} MB`,
      `${fixed(speed(row), 0)} and ${fixed(speed(full), 0)}`,
      `${fixed(speed(row) / speed(full), 2)} ×`,
    ]];
  }),
);

const text = `One sequence:

${oneByOne}
Several sequences, one token of each in a step:

${together}
The same memory for keys and values, twice the sequences at half of the slots:

${equalMemory}`;

/** Replies as long as their prompts, against one full cache that was timed in the same way. */
const replies = await readRecord(record.replace(/[^/]*$/, "throughput.csv"));
const rate = ({ sequences, reply_ms }: Row) => Number(sequences) / Number(reply_ms);
const rateOfAll = ({ sequences, prompt_ms, reply_ms }: Row) =>
  Number(sequences) / (Number(prompt_ms) + Number(reply_ms));
const throughput = table(
  [
    "prompt + reply",
    "policy",
    "budget",
    "sequences",
    "stored",
    "caches",
    "tokens/s",
    "× full",
    "with prompts",
  ],
  replies.map((row) => {
    const full = replies.find(({ policy, sequences, tokens }) =>
      policy === "full" && sequences === "1" && tokens === row.tokens
    )!;
    const n = counted(row.tokens);
    return [
      `${n} + ${n}`,
      row.policy,
      row.budget,
      row.sequences,
      row.kv,
      mb(Number(row.cache_bytes)),
      fixed(1000 * Number(row.tokens) * rate(row), 1),
      fixed(rate(row) / rate(full), 2),
      fixed(rateOfAll(row) / rateOfAll(full), 2),
    ];
  }),
);

/** Puts a text between the comment of a record and the next one that ends it. */
function place(whole: string, name: string, text: string): string {
  const [start, end] = [`<!-- ${name} -->`, "<!-- / -->"];
  const from = whole.indexOf(start);
  const to = whole.indexOf(end, from);
  if (from < 0 || to < 0) {
    console.error(`${document} has no lines ${start} and ${end}`);
    Deno.exit(1);
  }
  return `${whole.slice(0, from)}${start}\n\n${text}\n${whole.slice(to)}`;
}
if (document === undefined) console.log(`${text}\n${throughput}`);
else {
  const before = await Deno.readTextFile(document);
  const placed = place(place(before, "policies.csv", text), "throughput.csv", throughput);
  await Deno.writeTextFile(document, placed);
}

await draw(folder, "policies-decode", {
  title: "Tokens per second while decoding, by what is kept of the prompt",
  data: {
    values: single.map((row) => ({
      policy: row.policy,
      budget: `${100 * Number(row.budget)} %`,
      tokens: Number(row.tokens),
      value: speed(row),
    })),
  },
  mark: { type: "line", point: true },
  encoding: {
    x: {
      field: "tokens",
      type: "quantitative",
      title: "tokens of the prompt",
      axis: { values: lengths.map(Number) },
    },
    y: { field: "value", type: "quantitative", title: "tokens per second" },
    color: { field: "policy", type: "nominal", legend: { labelLimit: 300 } },
    strokeDash: { field: "budget", type: "nominal", title: "kept", sort: ["100 %", "50 %", "25 %", "10 %"] },
  },
});
