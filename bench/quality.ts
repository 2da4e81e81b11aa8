/**
 * What policies cost in quality: a model goes on with a text whose beginning a policy has reduced.
 *
 *   deno run -A bench/quality.ts MODEL TEXT[.gz] --record bench/record/quality.csv
 *     [--cases 24] [--prompt 512] [--budgets 0.9,0.7,0.5,0.3,0.2,0.1] [--policies "window;h2o;…"] [--tasks text,again,facts,passkey]
 *
 * Tasks, each with `--cases` cases that are the same for every policy and budget, are told in `quality/cases.ts`.
 * The prompt is reduced once at its end, as in the papers, and from then on token by token. What is looked for is never
 * named in the prompt. Policies that draw run with several seeds.
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../src/runtime/load_model.ts";
import { makeCases, type Task } from "./quality/cases.ts";
import { interval, mean, measure, readText } from "./quality/measure.ts";

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

const text = await readText(textPath);
const nCases = Number(args.cases);
const tasks = args.tasks.split(",") as Task[];
const budgets = args.budgets.split(",").map(Number);
const seeds = Array.from({ length: Number(args.seeds) }, (_, i) => i + 1);
const length = Number(args.prompt);
const context = length + 96;

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
    for (const one of makeCases(task, model.tokenizer, ids, nCases, length)) {
      results[task].push(await measure(sequence, one));
    }
  }
  model.dispose();
  return results;
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
