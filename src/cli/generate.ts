/** `deno task generate`: continues a prompt. */
import { OptionError } from "../error.ts";
import { generate } from "../generate.ts";
import { checkOptions, type GenerationResult } from "../generate/options.ts";
import type { JsonSchema } from "../structured/mod.ts";
import type { Loaded } from "./model.ts";
import type { Sequence } from "../model/sequence.ts";
import type { Arguments } from "./args.ts";
import { type Command, main } from "./command.ts";
import { generateLines, LINES_OPTIONS } from "./generate_lines.ts";
import { errorsWatched, onInterrupt, write, writeError } from "./host.ts";
import { load, MODEL_OPTIONS } from "./model.ts";
import { checkOutput, writeOutput, WRITTEN_AT_ONCE } from "./output.ts";
import {
  PROMPT_OPTIONS,
  readChunks,
  readFileOption,
  readPrompt,
  REPLY_OPTIONS,
  replyOptions,
} from "./prompt.ts";
import { digits, formatBytes } from "./units.ts";

/** Tokens when nobody says how many. */
const MAX_TOKENS = 256;

const command: Command = {
  name: "generate",
  summary:
    "Continues a prompt: the text streams to standard output. By default the most likely tokens, 256 at most.",
  options: {
    ...MODEL_OPTIONS,
    ...PROMPT_OPTIONS,
    ...LINES_OPTIONS,
    ...REPLY_OPTIONS,
    "json-schema": {
      value: "FILE",
      help: "Hold the reply to this JSON schema: it is JSON that the schema accepts",
    },
    "from": {
      value: "FILE",
      help: "Continue a text of --save or `deno task squeeze`, also without a prompt",
    },
    "save": { value: "FILE", help: "Save the text with its cache there, also at Ctrl-C, for --from" },
    "json": { help: "Print one JSON object with text, tokens, timings and memory instead" },
  },
  example: 'deno task generate --prompt "The old house" --temperature 0.8 --seed 1',

  async run(args: Arguments): Promise<void> {
    const jsonSchema = await readJsonSchema(args);
    const options = { ...replyOptions(args, { maxTokens: MAX_TOKENS }), jsonSchema };
    checkOptions(options);
    if (args.string("prompts") !== undefined) return await generateLines(args, options);
    if (args.string("sequences") !== undefined) {
      throw new OptionError("--sequences", args.string("sequences"), "--prompts beside it");
    }
    const prompt = await readPrompt(args);
    const save = args.string("save");
    if (save !== undefined) await checkOutput("save", save);
    const loaded = await load(args);
    const sequence = loaded.model.sequence();
    const from = args.string("from");
    if (from !== undefined) await sequence.restoreFrom(readChunks("from", from));
    const generation = generate(sequence, prompt, options);
    const stopListening = save === undefined ? () => {} : onInterrupt(() => void generation.cancel());
    if (args.on("json")) write(JSON.stringify(report(loaded, sequence, await generation.result())) + "\n");
    else {
      for await (const { text } of generation) write(text);
      write("\n");
      if (errorsWatched()) writeError(summary(loaded, await generation.result()));
    }
    if (save !== undefined) await saveText(sequence, generation.tokens, save);
    // not before, so that a second Ctrl-C leaves no part of a file
    stopListening();
  },
};

/** Saves a sequence that has read all of its reply. */
async function saveText(sequence: Sequence, reply: readonly number[], path: string): Promise<void> {
  // the last token was chosen and not read yet
  if (reply.length > 0 && !sequence.full) sequence.decode(reply.at(-1)!);
  await writeOutput("save", path, sequence.saveChunks(WRITTEN_AT_ONCE));
}

/** The schema of the file that was named, if any. */
async function readJsonSchema(args: Arguments): Promise<JsonSchema | undefined> {
  const text = await readFileOption(args, "json-schema");
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch (error) {
    throw new OptionError(
      "--json-schema",
      args.string("json-schema"),
      `a file of JSON: ${(error as Error).message}`,
    );
  }
}

/** The JSON object, in the shape that scripts rely on. */
function report({ model, loadMs }: Loaded, sequence: Sequence, result: GenerationResult) {
  const { prefillMs, prefillTokensPerSecond, decodeMs, decodeTokensPerSecond } = result.timings;
  const {
    policy,
    params,
    budgetRule,
    victims,
    positions,
    storage,
    read,
    capacity,
    slots,
    peakSlots,
    bytes,
    usedBytes,
    scoringMs,
    kept,
  } = sequence
    .cache();
  const { caches, books, automatic } = model.plan;
  return {
    prompt_tokens: result.promptTokens,
    tokens: result.tokens,
    text: result.text,
    finish_reason: result.finishReason,
    timings: {
      load_ms: loadMs,
      prefill_ms: prefillMs,
      prefill_tokens_per_second: prefillTokensPerSecond,
      decode_ms: decodeMs,
      decode_tokens_per_second: decodeTokensPerSecond,
    },
    memory: {
      wasm_bytes: model.memoryBytes,
      regions: model.plan.regions.map(({ name, bytes }) => ({ name, bytes })),
    },
    cache: {
      policy,
      params,
      budget_rule: budgetRule,
      victims,
      positions,
      storage,
      storage_params: caches.storage.params,
      read,
      ...(automatic !== null && { reason: automatic.reason }),
      capacity,
      slots,
      peak_slots: peakSlots,
      bytes,
      used_bytes: usedBytes,
      codebook_bytes: books?.length ?? 0,
      scoring_ms: scoringMs,
      kept,
    },
  };
}

function summary({ model, loadMs }: Loaded, { promptTokens, tokens, timings }: GenerationResult): string {
  return `\n${tokens.length} tokens at ${
    digits(timings.decodeTokensPerSecond)
  }/s · prompt ${promptTokens.length} at ` +
    `${digits(timings.prefillTokensPerSecond)}/s · loaded in ${digits(loadMs)} ms · ${
      formatBytes(model.memoryBytes)
    }\n`;
}

if (import.meta.main) await main(command);
