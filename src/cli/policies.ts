/** `deno task policies`: what `--policy` and the axes beside it take, and what goes with what. */
import { BUDGET_RULES } from "../cache/budget_rules/mod.ts";
import { planCache } from "../cache/cache_plan.ts";
import { type Param, POLICIES, WRAPPERS } from "../cache/policies/mod.ts";
import { READERS } from "../cache/read/mod.ts";
import { STORAGES } from "../cache/storage/mod.ts";
import { VICTIMS } from "../cache/victims.ts";
import { OptionError } from "../error.ts";
import type { Hparams } from "../hparams.ts";
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

/** The options of `planCache` for what goes beside a policy. */
const BESIDE = {
  "budget-rule": "budgetRule",
  "victims": "victims",
  "storage": "storage",
  "read": "read",
} as const;

/** A model like most, for which combinations are tried out. */
const USUAL = {
  nLayers: 2,
  nHeads: 4,
  nKvHeads: 2,
  headDim: 64,
  valueDim: 64,
  positions: "rope",
  rope: { style: "half", dims: 64, base: 1e4, scaling: { kind: "none" }, magnitude: 1 },
  windows: [0, 0],
} as unknown as Hparams;

/** What of each axis goes with a policy as it is, with a streamed or a whole prompt and no calibration. */
function combines(policy: string): Record<string, string[]> {
  const goes = (option: string, name: string) =>
    (["streaming", "whole"] as const).some((prefill) => {
      try {
        const types = { k: "q8_0", v: "q8_0" } as const;
        planCache(USUAL, types, { policy, prefill, budget: 1024, [option]: name }, 64, 4096);
        return true;
      } catch (error) {
        if (error instanceof OptionError) return false;
        throw error;
      }
    });
  return Object.fromEntries(
    Object.entries(BESIDE).map(([axis, option]) => {
      const [, ...entries] = AXES[axis as keyof typeof BESIDE];
      return [axis, entries.map(({ name }) => name).filter((name) => goes(option, name))];
    }),
  );
}

type Params = Readonly<Record<string, Param>>;

const command: Command = {
  name: "policies",
  summary: "Lists what decides on the cache, with parameters, sources and costs, and what goes with what.",
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
      ...(axis === "policy" && name !== "full" && { combines: combines(name) }),
    }))
  );
}

function section(axis: string): string {
  const entries = AXES[axis as keyof typeof AXES].map(({ name, summary, source, cost, params }) =>
    `${name}\n  ${summary}.\n  ${source === "" ? "" : `Source: ${source}. `}Cost: ${cost}.\n${
      paramLines(params, "  ")
    }${axis === "policy" && name !== "full" ? besideLine(name) : ""}`
  );
  const common = axis === "policy" ? `\nEvery one but full also takes\n${paramLines(WRAPPERS, "")}` : "";
  return `--${axis} NAME[:KEY=VALUE,…]\n\n${entries.join("\n")}${common}`;
}

function besideLine(policy: string): string {
  const axes = Object.entries(combines(policy)).filter(([, names]) => names.length > 0);
  const list = axes.map(([axis, names]) => `--${axis} ${names.join(", ")}`).join("; ");
  return list === "" ? "" : `  Goes with ${list}.\n`;
}

function paramLines(params: Params, indent: string): string {
  return Object.entries(params).map(([name, { default: value, help, oneOf }]) => {
    const choice = oneOf === undefined ? "" : `: ${oneOf.join(", ")}`;
    return `${indent}  ${`${name}=${value}`.padEnd(16)}  ${help}${choice}\n`;
  }).join("");
}

if (import.meta.main) await main(command);
