/** `deno task plan`: the memory that a model will take. */
import { MemoryBudgetError } from "../error.ts";
import { type ModelPlan, planModel } from "../model/plan.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";
import { largestContext } from "./largest_context.ts";
import { readCalibrationFile } from "./calibration.ts";
import { openHeader, PLAN_OPTIONS, planOptions } from "./model.ts";
import { formatBytes } from "./units.ts";

const command: Command = {
  name: "plan",
  summary:
    "Shows the memory that a model will take, region by region (default: the bundled model). Reads no weights.",
  argument: "MODEL",
  options: {
    ...PLAN_OPTIONS,
    "sequences": { value: "N", help: "Sequences that can exist at once (default: 1)" },
    "json": { help: "Print one JSON object instead" },
  },
  example: "deno task plan models/locket-books-q8_0.gguf --context 512 --max-bytes 128MB",

  async run(args): Promise<void> {
    const calibration = await readCalibrationFile(args, args.positional[0]);
    const { maxBytes, ...options } = {
      ...planOptions(args),
      calibration,
      sequences: args.integer("sequences", 1),
    };
    const { model } = await openHeader(args.positional[0]);
    const plan = planModel(model, options);
    const { totalBytes, regions, context } = plan;
    const fits = maxBytes === undefined || totalBytes <= maxBytes;
    const fittingContext = maxBytes === undefined ? undefined : largestContext(model, options, maxBytes);
    if (args.on("json")) {
      write(
        JSON.stringify({
          context,
          total_bytes: totalBytes,
          max_bytes: maxBytes,
          fits,
          largest_context: fittingContext,
          regions: regions.map(({ name, bytes }) => ({ name, bytes })),
        }) + "\n",
      );
    } else {
      write(table(plan));
      if (fittingContext !== undefined) {
        write(`Largest context within ${formatBytes(maxBytes!)}: ${fittingContext}\n`);
      }
    }
    if (!fits) throw new MemoryBudgetError(totalBytes, maxBytes, regions);
  },
};

function table({ regions, totalBytes, context, kvType }: ModelPlan): string {
  const row = (name: string, bytes: number) =>
    `${name.padEnd(12)} ${bytes.toLocaleString("en").padStart(14)}  ${formatBytes(bytes).padStart(8)}\n`;
  const head = `Context of ${context} tokens, keys in ${kvType.k}, values in ${kvType.v}\n\n`;
  return head + regions.map(({ name, bytes }) => row(name, bytes)).join("") + "\n" + row("total", totalBytes);
}

if (import.meta.main) await main(command);
