/** `deno task tokenize`: the tokens of a text. */
import { OptionError } from "../error.ts";
import { createTokenizer, planVocabulary } from "../tokenizer/mod.ts";
import type { Arguments } from "./args.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { MODEL_OPTIONS, openHeader } from "./model.ts";
import { readPromptText, TEXT_OPTIONS } from "./prompt.ts";

const command: Command = {
  name: "tokenize",
  summary: "Prints the tokens of a text, one a line: id and text. Reads the model's header, not its weights.",
  options: {
    "model": MODEL_OPTIONS.model,
    ...TEXT_OPTIONS,
    "json": { help: 'Print {"tokens":[ids],"texts":[strings]} instead' },
  },
  example: 'deno task tokenize --prompt "The old house"',

  async run(args: Arguments): Promise<void> {
    if (Object.keys(TEXT_OPTIONS).every((name) => args.string(name) === undefined)) {
      throw new OptionError("prompt", undefined, "a text, or --prompt-file");
    }
    const prompt = await readPromptText(args);
    const { model: { metadata } } = await openHeader(args.string("model"));
    const tokenizer = createTokenizer(metadata, new Uint8Array(planVocabulary(metadata).bytes));
    const tokens = tokenizer.encode(prompt);
    const texts = tokens.map((id) => tokenizer.decode([id], { special: true }));
    if (args.on("json")) write(JSON.stringify({ tokens, texts }) + "\n");
    else tokens.forEach((id, i) => write(`${String(id).padStart(6)}  ${JSON.stringify(texts[i])}\n`));
  },
};

if (import.meta.main) await main(command);
