/**
 * Options of a command, as data: the same table parses them, checks them and prints the help.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { OptionError } from "../error.ts";
import { parseBytes } from "./units.ts";

/** One option. */
export interface OptionSpec {
  /** Placeholder of its value in the help, such as `N`; without it the option is a switch. */
  readonly value?: string;
  readonly help: string;
  /** Whether an empty value means something. */
  readonly mayBeEmpty?: boolean;
  /** Whether it may come more than once. */
  readonly many?: boolean;
}

/** Options by name, without the dashes. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** What was entered. Each reader checks what it reads and names the option when it refuses. */
export class Arguments {
  readonly #values: Readonly<Record<string, unknown>>;

  /** @param positional What stood outside of options. */
  constructor(values: Readonly<Record<string, unknown>>, readonly positional: readonly string[]) {
    this.#values = values;
  }

  /** Whether a switch is on. */
  on(name: string): boolean {
    return this.#values[name] === true;
  }

  string(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  /** Every value of an option that may come more than once. */
  strings(name: string): readonly string[] {
    return this.#values[name] as readonly string[] | undefined ?? [];
  }

  number(name: string): number | undefined {
    return this.#read(
      name,
      "a number",
      (text) => /^[-+]?(\d|\.\d)[\d.e+-]*$/i.test(text) ? Number(text) : NaN,
    );
  }

  /** An integer of at least `least`. */
  integer(name: string, least: number): number | undefined {
    return this.#read(name, `an integer of at least ${least}`, (text) => {
      const value = /^\d+$/.test(text) ? Number(text) : NaN;
      return Number.isSafeInteger(value) && value >= least ? value : NaN;
    });
  }

  /** A size in bytes. */
  bytes(name: string): number | undefined {
    return this.#read(name, "a size such as 128MB, 1GiB or 1000000", (text) => parseBytes(text) ?? NaN);
  }

  /** Token ids, separated by commas. */
  ids(name: string): readonly number[] | undefined {
    const text = this.string(name);
    if (text === undefined) return undefined;
    if (!/^\s*\d+(\s*,\s*\d+)*\s*$/.test(text)) {
      throw new OptionError(`--${name}`, text, "token ids such as 1,2,3");
    }
    return text.split(",").map(Number);
  }

  #read(name: string, wanted: string, parse: (text: string) => number): number | undefined {
    const text = this.string(name);
    if (text === undefined) return undefined;
    const value = parse(text);
    if (Number.isNaN(value)) throw new OptionError(`--${name}`, text, wanted);
    return value;
  }
}

/**
 * Sorts what was entered by the table.
 *
 * @param args As entered.
 * @param specs Options of the command.
 * @param maxPositional How many arguments may stand outside of options.
 * @throws {OptionError} When an option is unknown or lacks its value, or there are too many arguments.
 */
export function readArguments(args: readonly string[], specs: OptionSpecs, maxPositional: number): Arguments {
  const names = Object.keys(specs);
  const withValue = names.filter((name) => specs[name].value !== undefined);
  const { _: positional, ...values } = parseArgs(joinValues(args, specs), {
    string: ["_", ...withValue],
    collect: names.filter((name) => specs[name].many),
    boolean: names.filter((name) => specs[name].value === undefined),
    unknown: (arg: string, key: string | undefined) => {
      if (key !== undefined) {
        throw new OptionError(
          "the option",
          arg,
          `one of ${names.map((n) => `--${n}`).join(", ")}`,
        );
      }
    },
  }) as { _: string[] } & Record<string, unknown>;
  for (const name of withValue) {
    if (values[name] === "" && !specs[name].mayBeEmpty) {
      throw new OptionError(`--${name}`, "", specs[name].value!);
    }
  }
  if (positional.length > maxPositional) {
    const wanted = maxPositional === 0
      ? "options only"
      : `at most ${maxPositional} argument beside the options`;
    throw new OptionError("the argument", positional[maxPositional], wanted);
  }
  if (positional.includes("")) throw new OptionError("the argument", "", "a path or URL");
  return new Arguments(values, positional);
}

/** `--name value` as `--name=value`, so that a value may be empty or begin with a dash, as a prompt does. */
function joinValues(args: readonly string[], specs: OptionSpecs): string[] {
  const known = (arg: string | undefined) =>
    arg?.startsWith("--") && Object.hasOwn(specs, arg.slice(2).split("=")[0]);
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const name = args[i].startsWith("--") ? args[i].slice(2) : "";
    if (!Object.hasOwn(specs, name) || specs[name].value === undefined) {
      joined.push(args[i]);
      continue;
    }
    const value = args[++i];
    if (value === undefined || known(value)) {
      throw new OptionError(`--${name}`, "", `a value: ${specs[name].value}`);
    }
    joined.push(`--${name}=${value}`);
  }
  return joined;
}

/** The table as lines of help. */
export function optionLines(specs: OptionSpecs): string {
  const heads = Object.entries(specs).map(([name, { value }]) => value ? `--${name} ${value}` : `--${name}`);
  const width = Math.max(...heads.map((head) => head.length));
  return Object.values(specs).map(({ help }, i) => `  ${heads[i].padEnd(width)}  ${help}`).join("\n");
}
