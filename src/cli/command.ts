/**
 * What all commands share: help, and one clear line with exit code 1 when something is wrong.
 *
 * @module
 */
import { GgufError, MemoryBudgetError, OptionError, SnapshotError, SourceError } from "../error.ts";
import { type Arguments, optionLines, type OptionSpecs, readArguments } from "./args.ts";
import { commandArguments, exit, isBrokenPipe, write, writeError } from "./host.ts";
import { formatBytes } from "./units.ts";

/** One `deno task`. */
export interface Command {
  readonly name: string;
  /** A sentence or two, on a line each. */
  readonly summary: string;
  /** The argument beside the options, such as `MODEL`. */
  readonly argument?: string;
  readonly options: OptionSpecs;
  /** An invocation that works as it stands. */
  readonly example: string;
  run(args: Arguments): Promise<void>;
}

const HELP = { help: { help: "Show this and do nothing" } };

/** Runs a command with the arguments of the process. */
export async function main(command: Command): Promise<void> {
  try {
    const specs = { ...command.options, ...HELP };
    const args = readArguments(commandArguments(), specs, command.argument === undefined ? 0 : 1);
    if (args.on("help")) write(helpText(command, specs));
    else await command.run(args);
  } catch (error) {
    if (isBrokenPipe(error)) exit(0);
    writeError(`error: ${errorLine(error, command)}\n`);
    exit(1);
  }
}

function helpText({ name, summary, argument, example }: Command, specs: OptionSpecs): string {
  const usage = `deno task ${name}${argument === undefined ? "" : ` [${argument}]`} [options]`;
  return `${summary}\n\nUsage: ${usage}\n\n${optionLines(specs)}\n\nExample: ${example}\n`;
}

/** What went wrong and what to do next, in one line. */
function errorLine(error: unknown, command: Command): string {
  const help = `see \`deno task ${command.name} --help\``;
  if (error instanceof MemoryBudgetError) {
    const { required, budget } = error;
    return `the memory plan needs ${formatBytes(required)} (${required} bytes), the budget is ${
      formatBytes(budget)
    }; ` +
      "give a larger --max-bytes or a smaller --context (`deno task plan` shows the regions)";
  }
  if (error instanceof OptionError) {
    // a place within an option's value stands behind a dot or a bracket
    const [option] = error.option.split(/[.[]/, 1);
    const flag = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const named = Object.hasOwn(command.options, flag);
    const message = named ? `--${flag}` + error.message.slice(option.length) : error.message;
    return `${message.replace(/\s*\n\s*/g, " ")}; ${help}`;
  }
  const [line] = (error instanceof Error ? error.message : String(error)).split("\n");
  if (error instanceof SnapshotError) return `${line}; take the model and the options that it was saved with`;
  if (error instanceof GgufError) {
    return `${line}; wanted a whole GGUF file, unpacked: if this one was cut short, download it again`;
  }
  return error instanceof SourceError ? `${line}; check the path or URL of the model` : line;
}
