/** `deno task calibrate`: learns codebooks of a model's keys and values. */
import { encodeCalibration } from "../cache/calibration.ts";
import { OptionError } from "../error.ts";
import { calibrate } from "../calibrate/calibrate.ts";
import type { WeightKind } from "../calibrate/collect.ts";
import { calibrationModule } from "../runtime/calibration_module.ts";
import { openSource } from "../runtime/open_source.ts";
import type { Arguments } from "./args.ts";
import { calibrationPath } from "./calibration.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { modelInput } from "./model_input.ts";
import { checkOutput, writeOutput } from "./output.ts";
import { workBar } from "./progress.ts";
import { readFileOption } from "./prompt.ts";
import { formatBytes } from "./units.ts";

const command: Command = {
  name: "calibrate",
  summary:
    "Learns codebooks of a model's keys and values from a text, and writes them beside the model, for --storage cq.\n" +
    "Each key and value counts as much as the loss of the text depends on it, which takes a backward pass.",
  options: {
    "model": { value: "PATH|URL", help: "A GGUF file (default: the bundled model)" },
    "text-file": { value: "FILE", help: "The text, as like those to come as can be" },
    "channels": { value: "N", help: "Channels that share a code of 8 bits: 2, 4 (default) or 8" },
    "tokens": { value: "N", help: "Tokens of the text to learn from (default: 8192)" },
    "window": { value: "N", help: "Tokens read at once (default: the model's context, at most 2048)" },
    "weights": {
      value: "KIND",
      help: "What they count: fisher (default); attention, that their token gets; none, all alike",
    },
    "out": { value: "FILE", help: "Where the codebooks go (default: beside the model, as MODEL.cq4)" },
    "json": { help: "Print one JSON object instead" },
  },
  example: "deno task calibrate --text-file README.md --tokens 1024 --window 256 --out readme.cq4",

  async run(args: Arguments): Promise<void> {
    const text = await readFileOption(args, "text-file");
    if (text === undefined) throw new OptionError("text-file", undefined, "a text file");
    const model = args.string("model");
    const channels = args.integer("channels", 1) ?? 4;
    const out = args.string("out") ?? calibrationPath(model, channels);
    await checkOutput("out", out);
    const bar = await workBar("calibrating");
    const start = performance.now();
    const calibration = await calibrate(openSource(modelInput(model)), text, {
      kernels: calibrationModule,
      channels,
      tokens: args.integer("tokens", 1),
      window: args.integer("window", 1),
      weights: args.string("weights") as WeightKind | undefined,
      onProgress: bar.show,
    }).finally(() => bar.stop());
    const bytes = encodeCalibration(calibration);
    await writeOutput("out", out, [bytes]);
    const seconds = Number(((performance.now() - start) / 1000).toFixed(1));
    if (args.on("json")) {
      write(JSON.stringify({ file: out, bytes: bytes.length, channels, seconds }) + "\n");
    } else {
      write(
        `Codebooks for ${8 / channels} bits a channel, ${
          formatBytes(bytes.length)
        }, in ${seconds} s: ${out}\n`,
      );
    }
  },
};

if (import.meta.main) await main(command);
