/** `deno task logits`: the row after the last token, for comparing with other engines. */
import { encodePrompt } from "../generate/encode_prompt.ts";
import type { Arguments } from "./args.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { load, MODEL_OPTIONS } from "./model.ts";
import { PROMPT_OPTIONS, readPrompt } from "./prompt.ts";

/** Rows of the table when nobody asked for all. */
const SHOWN = 10;

const command: Command = {
  name: "logits",
  summary:
    "Prints the logits after the last token of a prompt: the ten largest, or the full row with --json.",
  options: {
    ...MODEL_OPTIONS,
    ...PROMPT_OPTIONS,
    "json": { help: 'Print {"logits":[…]}, the full row, instead' },
  },
  example: "deno task logits --prompt-tokens 1,2,3",

  async run(args: Arguments): Promise<void> {
    const prompt = await readPrompt(args);
    const { model } = await load(args);
    const sequence = model.sequence();
    await sequence.prefill(typeof prompt === "string" ? encodePrompt(model.tokenizer, prompt) : prompt);
    if (args.on("json")) {
      write(JSON.stringify({ logits: Array.from(sequence.logits()) }) + "\n");
      return;
    }
    const { ids, values } = sequence.row.top(Math.min(SHOWN, model.hparams.nVocab));
    ids.forEach((id, i) => {
      const text = JSON.stringify(model.tokenizer.decode([id], { special: true }));
      write(`${values[i].toFixed(4).padStart(10)}  ${String(id).padStart(6)}  ${text}\n`);
    });
  },
};

if (import.meta.main) await main(command);
