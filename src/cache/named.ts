/**
 * What a caller names in an option, `NAME[:key=value,…]`: policies, budget rules, storages, readers. Parameters are declared
 * as data and read from text, with one error for all that is wrong.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { PolicyValue } from "./policy.ts";

/** One parameter. The type of its default is its type. */
export interface Param {
  readonly default: PolicyValue;
  readonly help: string;
  /** Names that it may take; of a text only. */
  readonly oneOf?: readonly string[];
  /** Bounds of a number; whole numbers only, where `whole`. */
  readonly least?: number;
  readonly most?: number;
  readonly whole?: boolean;
}

/** Something that can be named. */
export interface NamedEntry {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Paper; empty where there is none. */
  readonly source: string;
  /** What it costs: bytes, for each slot, token or KV head, and work. */
  readonly cost: string;
  readonly params: Readonly<Record<string, Param>>;
}

/** Checked values of all parameters of an entry. */
export class Values {
  constructor(readonly all: Readonly<Record<string, PolicyValue>>) {}

  number(name: string): number {
    return this.all[name] as number;
  }

  text<T extends string>(name: string): T {
    return this.all[name] as T;
  }
}

/**
 * The entry that a text names, and the pairs behind the name.
 *
 * @throws {OptionError} When none has that name.
 */
export function findEntry<E extends NamedEntry>(
  option: string,
  entries: readonly E[],
  text: string,
): { entry: E; pairs: string[] } {
  if (typeof text !== "string") {
    throw new OptionError(option, text, "the name of one, such as `deno task policies` lists");
  }
  const colon = text.indexOf(":");
  const name = (colon < 0 ? text : text.slice(0, colon)).trim();
  const entry = entries.find((entry) => entry.name === name);
  if (entry === undefined) {
    throw new OptionError(option, name, `one of ${entries.map(({ name }) => name).join(", ")}`);
  }
  return { entry, pairs: colon < 0 ? [] : text.slice(colon + 1).split(",") };
}

/** Reads `key=value` pairs; names may be written with underscores. */
export function readValues(
  { name: entry, params }: Pick<NamedEntry, "name" | "params">,
  pairs: readonly string[],
): Values {
  const values: Record<string, PolicyValue> = {};
  for (const [name, param] of Object.entries(params)) values[name] = param.default;
  for (const pair of pairs) {
    const [key, text] = split(pair);
    const name = key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (!Object.hasOwn(params, name)) {
      throw new OptionError(`parameter of ${entry}`, key, `one of ${Object.keys(params).join(", ")}`);
    }
    values[name] = readValue(`${entry}:${name}`, params[name], text);
  }
  return new Values(values);
}

function split(pair: string): [string, string] {
  const at = pair.indexOf("=");
  return at < 0 ? [pair.trim(), ""] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
}

function readValue(option: string, param: Param, text: string): PolicyValue {
  if (typeof param.default === "string") {
    if (param.oneOf!.includes(text)) return text;
    throw new OptionError(option, text, param.oneOf!.join(", "));
  }
  const { least = -Infinity, most = Infinity, whole = false } = param;
  const value = text === "" ? NaN : Number(text);
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return value;
  const bounds = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new OptionError(option, text, `a ${whole ? "whole " : ""}number ${bounds}`);
}
