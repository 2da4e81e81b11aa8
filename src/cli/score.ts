/** `deno task score`: how well a model predicts a text. */
import { scoreContinuation } from "../model/continuation.ts";
import type { Model } from "../model/engine.ts";
import { OptionError } from "../error.ts";
import type { Arguments } from "./args.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { load, MODEL_OPTIONS } from "./model.ts";
import { type WorkBar, workBar } from "./progress.ts";
import { readFileOption } from "./prompt.ts";
import { formatBytes } from "./units.ts";

/** Options under which a text read in chunks says little about one written token by token. */
const AXES = ["policy", "storage", "read"] as const;

/** Rows of logits computed at once. */
const OUTPUT_ROWS = 16;

const command: Command = {
  name: "score",
  summary:
    "Measures how well a model predicts a text: mean negative log-likelihood in nats per token, perplexity.\n" +
    "The text is cut into windows of --context tokens, each starting with BOS where the model has one.\n" +
    "With --policy (also full), --storage or --read only the second half of each window counts, read token by token after\n" +
    "a first half that the policy has reduced.",
  options: {
    ...MODEL_OPTIONS,
    "text-file": { value: "FILE", help: "The text" },
    "json": { help: 'Print {"tokens","nll","perplexity"} instead, with --policy also "kv_bytes"' },
  },
  example: "deno task score --text-file README.md --context 256",

  async run(args: Arguments): Promise<void> {
    const text = await readFileOption(args, "text-file");
    if (text === undefined) throw new OptionError("text-file", undefined, "a text file");
    args.integer("context", 2);
    const { model } = await load(args, { outputRows: OUTPUT_ROWS });
    const bar = await workBar("scoring");
    const halves = AXES.some((name) => args.string(name) !== undefined);
    const { nll, tokens, kvBytes } = await score(model, text, halves, bar.show).finally(() => bar.stop());
    if (tokens === 0) {
      throw new OptionError("text-file", args.string("text-file"), "a text of two tokens at least");
    }
    const mean = nll / tokens;
    const perplexity = Math.exp(mean);
    if (args.on("json")) {
      write(
        JSON.stringify({ tokens, nll: mean, perplexity, ...(kvBytes > 0 && { kv_bytes: kvBytes }) }) + "\n",
      );
      return;
    }
    const cache = kvBytes > 0 ? `, cache of ${formatBytes(kvBytes)}` : "";
    write(
      `${tokens} tokens, ${mean.toFixed(4)} nats per token, perplexity ${perplexity.toFixed(3)}${cache}\n`,
    );
  },
};

/** Loss in nats, and the most bytes of a cache in use at the end of a window. */
interface Score {
  nll: number;
  tokens: number;
  kvBytes: number;
}

/** Sums the loss over consecutive windows of the context's length, or over their second halves. */
async function score(
  model: Model,
  text: string,
  halves: boolean,
  onProgress: WorkBar["show"],
): Promise<Score> {
  const { addBos, bosId } = model.tokenizer;
  const head = addBos && bosId !== undefined ? [bosId] : [];
  const ids = model.tokenizer.encode(text, { addSpecial: false });
  const step = model.plan.context - head.length;
  const sequence = model.sequence();
  const sum = { nll: 0, tokens: 0, kvBytes: 0 };
  for (let start = 0; start < ids.length; start += step) {
    const window = [...head, ...ids.slice(start, start + step)];
    if (window.length < 2) break;
    sequence.reset();
    const half = window.length >> 1;
    const { nll, tokens } = halves
      ? await scoreContinuation(sequence, window.slice(0, half), window.slice(half))
      : await sequence.score(window);
    onProgress({ done: Math.min(start + step, ids.length), total: ids.length });
    sum.nll += nll;
    sum.tokens += tokens;
    if (halves) sum.kvBytes = Math.max(sum.kvBytes, sequence.cache().usedBytes);
  }
  return sum;
}

if (import.meta.main) await main(command);
