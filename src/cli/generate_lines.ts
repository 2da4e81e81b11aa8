/**
 * `deno task generate --prompts FILE`: many prompts, and a line of JSON for each reply.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { generateAll, type SharedOptions } from "../generate/generate_all.ts";
import type { Arguments } from "./args.ts";
import { errorsWatched, write, writeError } from "./host.ts";
import { load } from "./model.ts";
import { PROMPT_OPTIONS, readFileOption } from "./prompt.ts";
import { digits, formatBytes } from "./units.ts";

/** Sequences that decode together when nobody says how many. */
const SEQUENCES = 4;

/** Options of many prompts. */
export const LINES_OPTIONS = {
  "prompts": { value: "FILE", help: "A prompt in each line; prints a line of JSON for each, in their order" },
  "sequences": { value: "N", help: `Of --prompts so many at once (default: ${SEQUENCES})` },
};

/** Options of one prompt alone. */
const ALONE = [...Object.keys(PROMPT_OPTIONS), "from", "save"];

/** Continues each line of `--prompts`; empty lines are none. */
export async function generateLines(args: Arguments, options: SharedOptions): Promise<void> {
  const other = ALONE.find((name) => args.string(name) !== undefined);
  if (other !== undefined) throw new OptionError(`--${other}`, args.string(other), "no --prompts beside it");
  const sequences = args.integer("sequences", 1) ?? SEQUENCES;
  const text = (await readFileOption(args, "prompts"))!;
  const prompts = text.split(/\r?\n/).filter((line) => line !== "");
  const { model } = await load(args, { sequences });
  const start = performance.now();
  let done = 0;
  let nTokens = 0;
  for await (const { tokens, text, finishReason } of generateAll(model, prompts, options)) {
    write(JSON.stringify({ prompt: prompts[done++], text, tokens, finish_reason: finishReason }) + "\n");
    nTokens += tokens.length;
  }
  if (errorsWatched()) {
    const perSecond = 1000 * nTokens / (performance.now() - start);
    writeError(
      `\n${done} replies, ${nTokens} tokens at ${digits(perSecond)}/s · ${formatBytes(model.memoryBytes)}\n`,
    );
  }
}
