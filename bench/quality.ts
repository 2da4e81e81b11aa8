/**
 * What policies cost in quality: a model goes on with a text whose beginning a policy has reduced.
 *
 *   deno run -A bench/quality.ts MODEL TEXT[.gz] --record bench/record/quality.csv
 *     [--cases 8] [--seeds 4] [--prompt 512] [--budgets 0.9,0.7,0.5,0.3,0.2,0.1] [--policies "window;h2o;…"]
 *     [--tasks text,again,facts,passkey]
 *
 * Every seed draws `--cases` other prompts of each kind (`quality/cases.ts`), and other noise for the policies that draw; all
 * policies answer the same. A prompt is reduced once at its end, as in the papers, and from then on token by token. Beside
 * the loss against the full cache the record has the differences to a window, a random choice and H2O at the same budget, on
 * the same prompts. It is written after every seed.
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../src/runtime/load_model.ts";
import { facts, passage, passkey, type Prompt, ROOM } from "./quality/cases.ts";
import { type Answers, append, ask, behind, readText, seeded } from "./quality/measure.ts";
import { interval, mean } from "./statistics.ts";
import { writeRecord } from "./records.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["record", "cases", "prompt", "budgets", "policies", "tasks", "seeds"],
  default: {
    cases: "8",
    prompt: "512",
    seeds: "4",
    budgets: "0.9,0.7,0.5,0.3,0.2,0.1",
    tasks: "text,again,facts,passkey",
    policies: "window;streaming_llm;random;h2o;keyformer;keyformer:noise=none;keyformer:recent=0.5;" +
      "keyformer:recent=0.7;tova;snapkv:window=16",
  },
  unknown: line.unknown,
});
const [path, textPath] = args._.map(String);
if (textPath === undefined) line.lacks(path === undefined ? "MODEL" : "TEXT");
if (args.record === undefined) line.lacks("--record");

const tasks: string[] = args.tasks.split(",");
const policies: string[] = args.policies.split(";");
const budgets: number[] = args.budgets.split(",").map(Number);
const [length, nCases, nSeeds] = [args.prompt, args.cases, args.seeds].map(Number);
const context = length + ROOM;
/** What others are compared with. */
const FLOORS = ["window", "random", "h2o"];

const { tokenizer, dispose } = await loadModel(path, { context }).then((model) => ({
  tokenizer: model.tokenizer,
  dispose: () => model.dispose(),
}));
dispose();
const source = { tokenizer, ids: tokenizer.encode(await readText(textPath), { addSpecial: false }), length };

/** The prompts of one seed. */
function prompts(seed: number): Prompt[] {
  const asked = (task: string) => tasks.includes(task) ? task : undefined;
  return Array.from({ length: nCases }, (_, i) => {
    const drawn = 1000 * seed + i;
    return [
      passage(source, drawn, { text: asked("text"), again: asked("again") }),
      ...(asked("facts") ? [facts(source, drawn, "facts")] : []),
      ...(asked("passkey") ? [passkey(source, drawn, "passkey")] : []),
    ];
  }).flat();
}

const all = [
  { policy: "full", budget: 1 },
  ...policies.flatMap((policy) => budgets.map((budget) => ({ policy, budget }))),
].map((entry) => ({ ...entry, answers: {} as Answers }));

for (let seed = 1; seed <= nSeeds; seed++) {
  const asked = prompts(seed);
  for (const { policy, budget, answers } of all) {
    const reduced = { policy: seeded(policy, seed), budget, prefill: "whole" as const };
    append(answers, (await ask(path, { context, ...(policy !== "full" && reduced) }, asked)).answers);
  }
  await writeRecord(args.record, rows());
  console.error(`${new Date().toISOString()} seed ${seed} of ${nSeeds}`);
}

function rows(): Record<string, unknown>[] {
  const [full] = all;
  return all.flatMap(({ policy, budget, answers }) =>
    tasks.map((task) => {
      const said = answers[task];
      const [loss, loss_interval] = behind(said, full.answers[task]);
      const floors = FLOORS.flatMap((name) => {
        const floor = all.find((one) => one.policy === name && one.budget === budget);
        const [difference, interval] = floor ? behind(said, floor.answers[task]) : [];
        return [[`behind_${name}`, difference], [`behind_${name}_interval`, interval]];
      });
      const numbers: Record<string, number | undefined> = {
        nll: mean(said.map(({ nll }) => nll)),
        loss,
        loss_interval,
        hits: mean(said.map(({ hits }) => hits)),
        hits_interval: interval(said.map(({ hits }) => hits)),
        ...Object.fromEntries(floors),
      };
      return {
        policy,
        budget,
        task,
        prompts: said.length,
        ...Object.fromEntries(
          Object.entries(numbers).map(([name, value]) => [name, value?.toFixed(4) ?? ""]),
        ),
      };
    })
  );
}
