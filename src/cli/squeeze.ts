/** `deno task squeeze`: clusters the keys of a fixed prefix, for prompts that continue it. */
import { OptionError } from "../error.ts";
import type { Arguments } from "./args.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { load, MODEL_OPTIONS } from "./model.ts";
import { checkOutput, writeOutput, WRITTEN_AT_ONCE } from "./output.ts";
import { workBar } from "./progress.ts";
import { readFileOption } from "./prompt.ts";
import { formatBytes } from "./units.ts";

const command: Command = {
  name: "squeeze",
  summary:
    "Reads a text that prompts will continue, sorts its keys into clusters, and saves the cache with them. A prompt then\n" +
    "reads only the clusters that promise it most: `deno task generate --from FILE` with the same --context and --read.",
  options: {
    ...MODEL_OPTIONS,
    "prefix-file": { value: "FILE", help: "The text" },
    "out": { value: "FILE", help: "Where the snapshot goes" },
  },
  example:
    "deno task squeeze --prefix-file LICENSE --context 1024 --read squeezed:window=32,share=0.1 --out licence.kv",

  async run(args: Arguments): Promise<void> {
    const text = await readFileOption(args, "prefix-file");
    const out = args.string("out");
    if (text === undefined) throw new OptionError("prefix-file", undefined, "a text file");
    if (out === undefined) throw new OptionError("out", "", "a file to write");
    await checkOutput("out", out);
    const read = args.string("read") ?? "squeezed";
    const { model } = await load(args, { read });
    const { tokenizer } = model;
    const sequence = model.sequence();
    const bar = await workBar("squeezing");
    const start = performance.now();
    try {
      await sequence.squeeze(tokenizer.encode(text, { addSpecial: true }), { onProgress: bar.show });
    } finally {
      bar.stop();
    }
    await writeOutput("out", out, sequence.saveChunks(WRITTEN_AT_ONCE));
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const { bytes } = sequence.cache();
    write(
      `${sequence.position} tokens in ${seconds} s, cache and index of ${formatBytes(bytes)}; go on with\n` +
        `deno task generate --from ${out} --context ${model.plan.context} --read ${read} --prompt …\n`,
    );
  },
};

if (import.meta.main) await main(command);
