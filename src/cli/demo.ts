/** `deno task demo`: the bundled model tells a story, with its speed and memory. */
import { bold, dim, setColorEnabled } from "@std/fmt/colors";
import { generate } from "../generate.ts";
import type { GenerationResult } from "../generate/options.ts";
import { type Command, main } from "./command.ts";
import { coloured, columns, processBytes, write } from "./host.ts";
import { load, type Loaded, MODEL_OPTIONS } from "./model.ts";
import { memoryBar } from "./memory_bar.ts";
import { readPromptText, REPLY_OPTIONS, replyOptions, TEXT_OPTIONS } from "./prompt.ts";
import { digits, formatBytes } from "./units.ts";

const PROMPT = "She looked out of the window and";

/** Widest that the bar gets, in characters. */
const MAX_WIDTH = 76;

const command: Command = {
  name: "demo",
  summary: "Streams a story from the bundled model and shows how fast it is and what memory it takes.",
  options: { ...MODEL_OPTIONS, ...TEXT_OPTIONS, ...REPLY_OPTIONS },
  example: 'deno task demo --prompt "CHAPTER I" --seed 5',

  async run(args): Promise<void> {
    const options = replyOptions(args, { maxTokens: 200, temperature: 0.7, topP: 0.95, seed: 3 });
    const prompt = await readPromptText(args) || PROMPT;
    setColorEnabled(coloured());
    const loaded = await load(args);
    write(opening(loaded));
    write(`${bold(prompt)}`);
    const generation = generate(loaded.model, prompt, options);
    for await (const { text } of generation) write(text);
    write(closing(loaded, await generation.result(), options.seed));
  },
};

function opening({ model }: Loaded): string {
  const { hparams, plan, metadata, binary } = model;
  const { architecture, nLayers, nHeads, nKvHeads, nVocab } = hparams;
  const name = metadata.string("general.name", "a model without a name");
  const [bar, legend] = memoryBar(plan.regions, Math.min(MAX_WIDTH, columns()));
  return [
    `${
      bold(name)
    } · ${architecture}, ${nLayers} layers, ${nHeads} heads on ${nKvHeads} of keys and values, ` +
    `${nVocab.toLocaleString("en")} tokens, context ${plan.context.toLocaleString("en")}`,
    dim(
      `runs in WebAssembly (${binary}), in ${formatBytes(plan.totalBytes)} of memory fixed before loading:`,
    ),
    bar,
    legend,
    "",
    "",
  ].join("\n");
}

function closing({ model, loadMs }: Loaded, result: GenerationResult, seed: number | undefined): string {
  const { promptTokens, tokens, timings } = result;
  return [
    "\n\n",
    `${
      bold(`${digits(timings.decodeTokensPerSecond)} tokens a second`)
    } · ${tokens.length} tokens, prompt of ` +
    `${promptTokens.length} in ${digits(timings.prefillMs)} ms, model loaded in ${digits(loadMs)} ms\n`,
    dim(
      `${formatBytes(model.memoryBytes)} of WebAssembly memory, as planned · ` +
        `${formatBytes(processBytes().resident)} for the whole process, Deno included · seed ${seed}\n`,
    ),
  ].join("");
}

if (import.meta.main) await main(command);
