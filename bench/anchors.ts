/**
 * What anchors and separators cost: models and policies on windows of whole texts, each read as a prompt.
 *
 *   deno run -A bench/anchors.ts --text ../shared/data/text/books-valid.txt.gz
 *     --text ../shared/data/code/python-stdlib-sample.txt.gz@0.9 MODEL "MODEL;sepllm;300" "MODEL;anchor"
 *     [--windows 16] [--length 1024] [--record FILE.csv]
 *
 * A case is a model, a policy (that which its file declares, else everything) and a budget in slots. Losses are nats per
 * token over windows that stand evenly over the text; behind: more than in the model's first case on the same windows,
 * with half the 95 % interval. `FILE@0.9` is the last tenth of a text.
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../src/runtime/load_model.ts";
import { readText } from "./quality/measure.ts";
import { interval, mean } from "./statistics.ts";
import { writeRecord } from "./records.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const args = parseArgs(Deno.args, {
  string: ["text", "windows", "length", "record"],
  collect: ["text"],
  default: { windows: "16", length: "1024" },
  unknown: line.unknown,
});
if (args._.length === 0) line.lacks("MODEL");
if (args.text.length === 0) line.lacks("--text");
const [nWindows, length] = [args.windows, args.length].map(Number);
const sources = await Promise.all((args.text as string[]).map(async (path) => ({
  title: path.split("/").at(-1)!.split(/[-.]/)[0],
  text: await readText(path),
})));
const rows: Record<string, unknown>[] = [];
/** Losses of a model's first case, by model and text. */
const first: Record<string, number[]> = {};

for (const one of args._.map(String)) {
  const [path, policy, budget] = one.split(";");
  const model = await loadModel(path, {
    context: length,
    outputRows: 16,
    ...(policy !== undefined && { policy }),
    ...(budget !== undefined && { budget: Number(budget) }),
  });
  const sequence = model.sequence();
  for (const { title, text } of sources) {
    const ids = model.tokenizer.encode(text, { addSpecial: false });
    const [losses, kept]: number[][] = [[], []];
    for (let i = 0; i < nWindows; i++) {
      const start = Math.floor(i * (ids.length - length) / Math.max(1, nWindows - 1));
      sequence.reset();
      const { nll, tokens } = await sequence.score(ids.slice(start, start + length));
      losses.push(nll / tokens);
      kept.push(mean(sequence.cache().kept.map(({ mean }) => mean)));
    }
    const compared = (first[`${path} ${title}`] ??= losses);
    const behind = losses.map((loss, i) => loss - compared[i]);
    rows.push({
      model: path.split("/").at(-1)!.replace(/-q8_0\.gguf$/, ""),
      policy: policy ?? sequence.cache().policy,
      budget: budget ?? "",
      text: title,
      kept: mean(kept).toFixed(3),
      nll: mean(losses).toFixed(4),
      ...(compared === losses
        ? { behind: "", behind_interval: "" }
        : { behind: mean(behind).toFixed(4), behind_interval: interval(behind).toFixed(4) }),
    });
    console.log(Object.values(rows.at(-1)!).join());
  }
  model.dispose();
}
if (args.record !== undefined) await writeRecord(args.record, rows);
