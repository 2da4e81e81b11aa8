/** `deno task policies`: what `--policy`, `--storage` and `--read` take. */
import { type Param, POLICIES, WRAPPERS } from "../cache/policies/mod.ts";
import { BUDGET_RULES } from "../cache/budget_rules/mod.ts";
import { READERS } from "../cache/read/mod.ts";
import { STORAGES } from "../cache/storage/mod.ts";
import { VICTIMS } from "../cache/victims.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";

/** What can be named, by the option that takes it. */
const AXES = {
  "policy": POLICIES,
  "budget-rule": BUDGET_RULES,
  "victims": VICTIMS,
  "storage": STORAGES,
  "read": READERS,
} as const;

type Params = Readonly<Record<string, Param>>;

const command: Command = {
  name: "policies",
  summary:
    "Lists the policies that decide what stays in the cache, how it can be stored and what of it be read, " +
    "with parameters, sources and costs.",
  options: { "json": { help: "Print one JSON array instead" } },
  example: "deno task policies --json",

  run(args): Promise<void> {
    write(args.on("json") ? JSON.stringify(described()) + "\n" : Object.keys(AXES).map(section).join("\n"));
    return Promise.resolve();
  },
};

function described() {
  return Object.entries(AXES).flatMap(([axis, entries]) =>
    entries.map(({ name, summary, source, cost, params }) => ({
      axis,
      name,
      summary,
      source,
      cost,
      params: axis === "policy" && name !== "full" ? { ...params, ...WRAPPERS } : params,
    }))
  );
}

function section(axis: string): string {
  const entries = AXES[axis as keyof typeof AXES].map(({ name, summary, source, cost, params }) =>
    `${name}\n  ${summary}.\n  ${source === "" ? "" : `Source: ${source}. `}Cost: ${cost}.\n${
      paramLines(params, "  ")
    }`
  );
  const common = axis === "policy" ? `\nEvery one but full also takes\n${paramLines(WRAPPERS, "")}` : "";
  return `--${axis} NAME[:KEY=VALUE,…]\n\n${entries.join("\n")}${common}`;
}

function paramLines(params: Params, indent: string): string {
  return Object.entries(params).map(([name, { default: value, help, oneOf }]) => {
    const choice = oneOf === undefined ? "" : `: ${oneOf.join(", ")}`;
    return `${indent}  ${`${name}=${value}`.padEnd(16)}  ${help}${choice}\n`;
  }).join("");
}

if (import.meta.main) await main(command);
