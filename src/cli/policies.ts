/** `deno task policies`: what `--policy` takes. */
import { type Param, POLICIES, type PolicyEntry, WRAPPERS } from "../cache/policies/mod.ts";
import { type Command, main } from "./command.ts";
import { write } from "./host.ts";

const command: Command = {
  name: "policies",
  summary:
    "Lists the policies that decide what stays in the cache, with their parameters, sources and costs.",
  options: { "json": { help: "Print one JSON array instead" } },
  example: "deno task policies --json",

  run(args): Promise<void> {
    if (args.on("json")) {
      const described = POLICIES.map(({ name, summary, source, cost, params }) => ({
        name,
        summary,
        source,
        cost,
        params: name === "full" ? params : { ...params, ...WRAPPERS },
      }));
      write(JSON.stringify(described) + "\n");
    } else {
      const common = paramLines(WRAPPERS, "");
      write(POLICIES.map(lines).join("\n") + `\nEvery one but full also takes\n${common}`);
    }
    return Promise.resolve();
  },
};

function lines({ name, summary, source, cost, params }: PolicyEntry): string {
  return `${name}\n  ${summary}.\n  Source: ${source}. Cost: ${cost}.\n${paramLines(params, "  ")}`;
}

function paramLines(params: Readonly<Record<string, Param>>, indent: string): string {
  return Object.entries(params).map(([name, { default: value, help, oneOf }]) => {
    const choice = oneOf === undefined ? "" : `: ${oneOf.join(", ")}`;
    return `${indent}  ${`${name}=${value}`.padEnd(16)}  ${help}${choice}\n`;
  }).join("");
}

if (import.meta.main) await main(command);
