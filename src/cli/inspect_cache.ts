/** `deno task inspect-cache`: a page that shows what a policy keeps of a text. */
import { OptionError } from "../error.ts";
import { encodePrompt } from "../generate/encode_prompt.ts";
import type { Model } from "../model/engine.ts";
import { cachePage, type CacheStory, type HeadState } from "./cache_page.ts";
import type { Arguments } from "./args.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { load, MODEL_OPTIONS } from "./model.ts";
import { checkOutput, writeOutput } from "./output.ts";
import { readPromptText, TEXT_OPTIONS } from "./prompt.ts";

const PROMPT =
  "It was a bright cold morning when Mr. Allen left the house. His sister Margaret had given him a letter, " +
  "and in the letter was the number of the house in London where he was to ask for the captain. ";

/** Points of the curve of attention. */
const SHARES = 100;

const command: Command = {
  name: "inspect-cache",
  summary:
    "Writes a page that shows, token by token, what a policy keeps in each layer and head, and with what score.",
  options: {
    ...MODEL_OPTIONS,
    ...TEXT_OPTIONS,
    "html": { value: "FILE", help: "Where the page goes" },
    "max-tokens": { value: "N", help: "Tokens to generate after the prompt (default: 24)" },
  },
  example:
    'deno task inspect-cache --html cache.html --policy keyformer --budget 0.4 --prompt "The old house"',

  async run(args): Promise<void> {
    const html = args.string("html");
    if (html === undefined) throw new OptionError("html", "", "a file to write");
    await checkOutput("html", html);
    const nTokens = args.integer("max-tokens", 1) ?? 24;
    const prompt = await readPromptText(args) || PROMPT;
    const policy = args.string("policy") ?? "keyformer";
    if (policy === "full") throw new OptionError("policy", policy, "one that drops something");
    const { model } = await load(args, { policy });
    const ids = encodePrompt(model.tokenizer, prompt);
    const { steps, reply } = await follow(model, ids, nTokens);
    const title = `${policy} with a budget of ${args.string("budget") ?? "0.5"}`;
    const tokens = [...ids, ...reply].map((id) => model.tokenizer.decode([id], { special: true }));
    model.dispose();
    const page = cachePage({ title, tokens, promptTokens: ids.length, steps, mass: await massOf(args, ids) });
    await writeOutput("html", html, [new TextEncoder().encode(page)]);
    write(`${html}: ${ids.length} tokens of prompt, ${reply.length} of reply\n`);
  },
};

/** Reads the prompt and a greedy reply; what is held after each. */
async function follow(model: Model, ids: readonly number[], nTokens: number) {
  const sequence = model.sequence();
  await sequence.prefill(ids);
  const steps: HeadState[][][] = [sequence.cacheContents().map(rounded)];
  const reply: number[] = [];
  while (reply.length < nTokens && !sequence.full) {
    reply.push(sequence.row.argmax());
    sequence.decode(reply.at(-1)!);
    steps.push(sequence.cacheContents().map(rounded));
  }
  return { steps, reply };
}

/** Four digits are enough to be seen. */
function rounded(heads: readonly HeadState[]): HeadState[] {
  return heads.map(({ positions, scores }) => ({
    positions,
    scores: scores.map((score) => Number(score.toPrecision(4))),
  }));
}

/** How much of the prompt's attention goes to few tokens: sums over all rows, of a cache that keeps everything. */
async function massOf(args: Arguments, ids: readonly number[]): Promise<CacheStory["mass"]> {
  const { model } = await load(args, {
    policy: "h2o:recent=1",
    budget: Math.max(3, ids.length + 1),
    prefill: "streaming",
    positions: undefined,
  });
  const sequence = model.sequence();
  await sequence.prefill(ids);
  const contents = sequence.cacheContents();
  model.dispose();
  return contents.map((heads) => {
    const curves = heads.map(({ scores }) => {
      const sorted = scores.toSorted((a, b) => b - a);
      const all = sorted.reduce((sum, score) => sum + score, 0);
      return Array.from({ length: SHARES }, (_, i) => {
        const first = sorted.slice(0, Math.ceil((i + 1) / SHARES * sorted.length));
        return first.reduce((sum, score) => sum + score, 0) / all;
      });
    });
    return curves[0].map((_, i) => curves.reduce((sum, curve) => sum + curve[i], 0) / curves.length);
  });
}

if (import.meta.main) await main(command);
