/**
 * Draws what `bench/quality.ts` recorded, as SVG, and prints it as tables.
 *
 *   deno run -A bench/plot_quality.ts RECORD.csv FOLDER [NAME]   NAME-text.svg and so on, by default quality
 */
import { parseArgs } from "@std/cli/parse-args";
import { draw, table } from "./plotting.ts";
import { readRecord, type Row } from "./records.ts";
import { commandLine } from "./usage.ts";

const TITLES: Record<string, string> = {
  text: "Continuation: nats per token more than with the full cache",
  again: "A passage again: nats per token more than with the full cache",
  facts: "Planted keys: answers right, of all",
  passkey: "Passkey: answers right, of all",
};

const distinct = (rows: readonly Row[], name: string) => [...new Set(rows.map((row) => row[name]))];
const isAsked = (task: string) => task === "facts" || task === "passkey";

/** A mean and its interval, two digits each. */
function between(mean: string, interval: string, factor = 1): string {
  const digits = factor === 1 ? 2 : 0;
  return [mean, interval].map((value) =>
    (factor * Number(value)).toFixed(digits).replace(/^-(0(\.00)?)$/, "$1")
  )
    .join(" ± ");
}

/** What each policy comes to at each budget in one task: what it loses, or what it finds. */
export function qualityTable(rows: readonly Row[], task: string): [string[], string[][]] {
  const kept = rows.filter((row) => row.policy !== "full" && row.task === task);
  const budgets = distinct(kept, "budget");
  const body = distinct(kept, "policy").map((policy) => {
    const cell = (budget: string) => {
      const row = kept.find((row) => row.policy === policy && row.budget === budget)!;
      return isAsked(task)
        ? `${between(row.hits, row.hits_interval, 100)} %`
        : between(row.loss, row.loss_interval);
    };
    return [policy, ...budgets.map(cell)];
  });
  return [["policy", ...budgets], body];
}

/** What policies lose more than a window, a random choice and H2O at the same budget, on the same prompts. */
export function floorsTable(
  rows: readonly Row[],
  task: string,
  policies: readonly string[],
): [string[], string[][]] {
  const kept = rows.filter((row) => row.task === task && policies.includes(row.policy));
  const budgets = distinct(kept, "budget");
  const body = policies.flatMap((policy) =>
    ["window", "random", "h2o"].map((floor) => {
      const cell = (budget: string) => {
        const row = kept.find((row) => row.policy === policy && row.budget === budget)!;
        return between(row[`behind_${floor}`], row[`behind_${floor}_interval`]);
      };
      return [`${policy}, behind ${floor}`, ...budgets.map(cell)];
    })
  );
  return [["policy", ...budgets], body];
}

if (import.meta.main) {
  const line = commandLine(import.meta.url);
  const [record, folder, name = "quality"] = parseArgs(Deno.args, { unknown: line.unknown })._.map(String);
  if (folder === undefined) line.lacks(record === undefined ? "RECORD.csv" : "FOLDER");
  const rows = await readRecord(record);
  for (const task of distinct(rows, "task")) {
    console.log(`${TITLES[task]}\n`);
    console.log(table(...qualityTable(rows, task)));
    console.log(table(...floorsTable(rows, task, ["keyformer"])));
    const field = isAsked(task) ? "hits" : "loss";
    await draw(folder, `${name}-${task}`, {
      title: TITLES[task],
      data: {
        values: rows.filter((row) => row.policy !== "full" && row.task === task)
          .map((row) => ({ policy: row.policy, budget: Number(row.budget), value: Number(row[field]) })),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: {
          field: "budget",
          type: "quantitative",
          title: "share of the prompt that is kept",
          scale: { reverse: true },
        },
        y: {
          field: "value",
          type: "quantitative",
          title: isAsked(task) ? "share of answers" : "nats per token",
        },
        color: { field: "policy", type: "nominal", legend: { labelLimit: 300 } },
      },
    });
  }
}
