/**
 * What policies cost in quality: a model goes on with a text whose beginning a policy has reduced.
 *
 *   deno run -A bench/quality.ts MODEL TEXT[.gz] --record bench/record/quality.csv
 *     [--cases 24] [--prompt 512] [--budgets 0.9,0.7,0.5,0.3,0.2,0.1] [--policies "window;h2o;…"] [--tasks text,again,facts]
 *
 * Tasks, each with `--cases` cases that are the same for every policy and budget:
 *
 *     text    a passage of the text, then its continuation of 64 tokens: nats per token
 *     again   a passage of 48 tokens somewhere within other text, which comes again after the prompt: nats per token
 *             from the ninth on
 *     facts   made-up keys with numbers, then text; the question about one of them comes after the prompt: nats per
 *             token of its answer, and whether the most likely tokens are the answer
 *
 * The prompt is reduced once at its end, as in the papers, and from then on token by token. What is looked for is never
 * named in the prompt. Policies that draw run with several seeds.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { Model } from "../src/model/engine.ts";
import type { Sequence } from "../src/model/sequence.ts";
import { loadModel } from "../src/runtime/load_model.ts";

/** A beginning, what follows it, and from where on the follower counts. */
interface Case {
  readonly prompt: readonly number[];
  readonly next: readonly number[];
  readonly from: number;
}

const args = parseArgs(Deno.args, {
  string: ["record", "cases", "prompt", "budgets", "policies", "tasks", "seeds"],
  default: {
    cases: "24",
    prompt: "512",
    seeds: "3",
    budgets: "0.9,0.7,0.5,0.3,0.2,0.1",
    tasks: "text,again,facts",
    policies: "window;streaming_llm;random;h2o;keyformer;keyformer:noise=none;tova;snapkv:window=16",
  },
});
const [path, textPath] = args._.map(String);
if (textPath === undefined) {
  console.log("usage: deno run -A bench/quality.ts MODEL TEXT[.gz] [--record FILE]");
  Deno.exit(1);
}

async function readText(path: string): Promise<string> {
  const { body } = await fetch(new URL(path, `file://${Deno.cwd()}/`));
  const stream = path.endsWith(".gz") ? body!.pipeThrough(new DecompressionStream("gzip")) : body!;
  return await new Response(stream).text();
}

/** Whole numbers below n, the same in every run. */
function draws(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * n);
  };
}

const NAMES = [
  "Edward",
  "Richard",
  "Edmund",
  "Alfred",
  "Dorothy",
  "Florence",
  "Edith",
  "Victor",
  "Leonard",
  "Barbara",
];

function makeCases(task: string, model: Model, ids: readonly number[], n: number): Case[] {
  const { tokenizer } = model;
  const encode = (text: string) => tokenizer.encode(text, { addSpecial: false });
  const length = Number(args.prompt);
  return Array.from({ length: n }, (_, i) => {
    const below = draws(1000 + i);
    const slice = (length: number) => {
      const start = below(ids.length - length);
      return ids.slice(start, start + length);
    };
    if (task === "text") {
      const all = slice(length + 64);
      return { prompt: all.slice(0, length), next: all.slice(length), from: 0 };
    }
    if (task === "again") {
      const passage = slice(48);
      const before = below(length - 48 - 64);
      const rest = slice(length - 48);
      return {
        prompt: [...rest.slice(0, before), ...passage, ...rest.slice(before)],
        next: passage,
        from: 8,
      };
    }
    const first = below(NAMES.length - 4);
    const facts = Array.from({ length: 4 }, (_, j) => [NAMES[first + j], String(1000 + below(9000))]);
    const [name, value] = facts[below(4)];
    const lead = encode(facts.map(([name, value]) => `The number of ${name} is ${value}.\n`).join(""));
    const question = encode(`\nWhat is the number of ${name}? It is`);
    const answer = encode(` ${value}`);
    return {
      prompt: [...lead, ...slice(length - lead.length)],
      next: [...question, ...answer],
      from: question.length,
    };
  });
}

/** Mean nats of the tokens that count, and whether each of them was the most likely one. */
async function measure(
  sequence: Sequence,
  { prompt, next, from }: Case,
): Promise<{ nll: number; hit: boolean }> {
  sequence.reset();
  await sequence.prefill(prompt);
  let [nll, hit] = [0, true];
  for (let i = 0; i < next.length; i++) {
    if (i >= from) {
      nll += sequence.row.logSumExp() - sequence.row.view()[next[i]];
      hit &&= sequence.row.argmax() === next[i];
    }
    if (i + 1 < next.length) sequence.decode(next[i]);
  }
  return { nll: nll / (next.length - from), hit };
}

const text = await readText(textPath);
const nCases = Number(args.cases);
const tasks = args.tasks.split(",");
const budgets = args.budgets.split(",").map(Number);
const seeds = Array.from({ length: Number(args.seeds) }, (_, i) => i + 1);
const context = Number(args.prompt) + 96;

/** Results of every case of every task under one policy. */
async function run(policy: string, budget: number) {
  const model = await loadModel(path, {
    context,
    ...(policy !== "full" && { policy, budget, prefill: "whole" as const }),
  });
  const ids = model.tokenizer.encode(text.slice(0, 400_000), { addSpecial: false });
  const sequence = model.sequence();
  const results: Record<string, { nll: number; hit: boolean }[]> = {};
  for (const task of tasks) {
    results[task] = [];
    for (const one of makeCases(task, model, ids, nCases)) results[task].push(await measure(sequence, one));
  }
  model.dispose();
  return results;
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Half the width of the 95 % interval of a mean. */
function interval(values: readonly number[]): number {
  const m = mean(values);
  return 1.96 * Math.sqrt(mean(values.map((x) => (x - m) ** 2)) / Math.max(1, values.length - 1));
}

const full = await run("full", 1);
const rows = ["policy,budget,task,nll,loss,loss_interval,hits"];
function note(policy: string, budget: number, results: (typeof full)[]): void {
  for (const task of tasks) {
    // Seeds of one case belong together: the interval is over cases.
    const nll = full[task].map((_, i) => mean(results.map((result) => result[task][i].nll)));
    const loss = nll.map((value, i) => value - full[task][i].nll);
    const hits = mean(results.flatMap((result) => result[task].map(({ hit }) => hit ? 1 : 0)));
    rows.push(
      [policy.split(":")[0] + (policy.includes("noise=none") ? " without noise" : ""), budget, task]
        .concat([mean(nll), mean(loss), interval(loss), hits].map((value) => value.toFixed(4))).join(","),
    );
    console.log(rows.at(-1));
  }
}
note("full", 1, [full]);
for (const policy of args.policies.split(";")) {
  const draws = /^(random|keyformer)(?!.*noise=none)/.test(policy);
  for (const budget of budgets) {
    const results = [];
    for (const seed of draws ? seeds : [0]) {
      const seeded = draws ? `${policy}${policy.includes(":") ? "," : ":"}seed=${seed}` : policy;
      results.push(await run(seeded, budget));
    }
    note(policy, budget, results);
  }
}
if (args.record !== undefined) await Deno.writeTextFile(args.record, rows.join("\n") + "\n");
