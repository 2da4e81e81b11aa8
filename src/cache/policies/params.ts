/**
 * Parameters of policies: declared as data, read from text or from an object, with one error for all that is wrong.
 *
 * @module
 */
import { OptionError } from "../../error.ts";
import type { Policy, PolicyValue } from "../policy.ts";

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

/** A policy that can be named. */
export interface PolicyEntry {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Paper. */
  readonly source: string;
  /** What it costs beside the slots that it keeps: bytes per slot and KV head, work per token. */
  readonly cost: string;
  readonly params: Readonly<Record<string, Param>>;
  /** `null`: keeps everything. */
  create(values: Values): Policy | null;
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

/** Something that `NAME[:key=value,…]` can name. */
export interface NamedEntry {
  readonly name: string;
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
  entry: NamedEntry,
  params: PolicyEntry["params"],
  pairs: readonly string[],
): Values {
  const values: Record<string, PolicyValue> = {};
  for (const [name, param] of Object.entries(params)) values[name] = param.default;
  for (const pair of pairs) {
    const [key, text] = split(pair);
    const name = key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (!Object.hasOwn(params, name)) {
      throw new OptionError(`parameter of ${entry.name}`, key, `one of ${Object.keys(params).join(", ")}`);
    }
    values[name] = readValue(`${entry.name}:${name}`, params[name], text);
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

/** Sinks: the first tokens of a text draw much attention whatever they say (arXiv 2309.17453). */
export const SINKS: Param = {
  default: 0,
  help: "First tokens of the text that always stay",
  least: 0,
  whole: true,
};

/** The recent window. */
export function recentParam(share: number): Param {
  return {
    default: share,
    help: "Latest tokens that always stay: below 1 a share of the budget, else a number",
    least: 0,
  };
}

/** Room after a prompt, of policies that drop nothing then. */
export const RESERVE: Param = {
  default: 256,
  help: "Tokens after a streamed prompt that there is room for",
  least: 1,
  whole: true,
};

/** Seed of a policy that draws. */
export const SEED: Param = {
  default: 12345,
  help: "The same seed draws the same",
  least: 0,
  most: 2 ** 32 - 1,
  whole: true,
};

/** Least budget with so many sinks and a recent window given as share or count. */
export function leastBudget(sinks: number, recent: number): number {
  return sinks + (recent >= 1 ? Math.ceil(recent) : 1) + 1;
}
