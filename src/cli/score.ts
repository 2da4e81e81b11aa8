/** `deno task score`: how well a model predicts a text. */
import type { Model } from "../model/engine.ts";
import { OptionError } from "../error.ts";
import type { Arguments } from "./args.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { load, MODEL_OPTIONS } from "./model.ts";
import { readFileOption } from "./prompt.ts";

/** Rows of logits computed at once. */
const OUTPUT_ROWS = 16;

const command: Command = {
  name: "score",
  summary:
    "Measures how well a model predicts a text: mean negative log-likelihood in nats per token, perplexity.\n" +
    "The text is cut into windows of --context tokens, each starting with BOS where the model has one.",
  options: {
    ...MODEL_OPTIONS,
    "text-file": { value: "FILE", help: "The text" },
    "json": { help: 'Print {"tokens","nll","perplexity"} instead' },
  },
  example: "deno task score --text-file README.md --context 256",

  async run(args: Arguments): Promise<void> {
    const text = await readFileOption(args, "text-file");
    if (text === undefined) throw new OptionError("text-file", "", "a text file");
    const { model } = await load(args, { outputRows: OUTPUT_ROWS });
    const { nll, tokens } = await score(model, text);
    if (tokens === 0) throw new OptionError("text-file", text, "a text of two tokens at least");
    const mean = nll / tokens;
    const perplexity = Math.exp(mean);
    if (args.on("json")) write(JSON.stringify({ tokens, nll: mean, perplexity }) + "\n");
    else write(`${tokens} tokens, ${mean.toFixed(4)} nats per token, perplexity ${perplexity.toFixed(3)}\n`);
  },
};

/** Sums the loss, in nats, over consecutive windows of the context's length. */
async function score(model: Model, text: string): Promise<{ nll: number; tokens: number }> {
  const { addBos, bosId } = model.tokenizer;
  const head = addBos && bosId !== undefined ? [bosId] : [];
  const ids = model.tokenizer.encode(text, { addSpecial: false });
  const step = model.plan.context - head.length;
  const sequence = model.sequence();
  const sum = { nll: 0, tokens: 0 };
  for (let start = 0; start < ids.length; start += step) {
    const window = [...head, ...ids.slice(start, start + step)];
    if (window.length < 2) break;
    sequence.reset();
    const { nll, tokens } = await sequence.score(window);
    sum.nll += nll;
    sum.tokens += tokens;
  }
  return sum;
}

if (import.meta.main) await main(command);
