/**
 * Draws what `bench/quality.ts` and `bench/policies_bench.ts` recorded, as SVG, and prints it as tables.
 *
 *   deno run -A bench/plot_policies.ts quality RECORD.csv FOLDER [NAME]   NAME-text.svg and so on, by default quality
 *   deno run -A bench/plot_policies.ts speed RECORD.csv FOLDER
 */
import { compile, type TopLevelSpec } from "vega-lite";
import { parse, View } from "vega";

const [kind, record, folder, name = "quality"] = Deno.args;
if (folder === undefined) {
  console.log("usage: deno run -A bench/plot_policies.ts quality|speed RECORD.csv FOLDER");
  Deno.exit(1);
}

type Row = Record<string, string>;

const [head, ...lines] = (await Deno.readTextFile(record)).trim().split("\n");
const names = head.split(",");
const rows: Row[] = lines.map((line) => {
  const values = [...line.matchAll(/"([^"]*)"|([^,]+)/g)].map(([, quoted, bare]) => quoted ?? bare);
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
});

async function draw(name: string, spec: TopLevelSpec): Promise<void> {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/${name}.svg`, await view.toSVG() + "\n");
  console.log(`${folder}/${name}.svg`);
}

function table(head: readonly string[], body: readonly (readonly string[])[]): void {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  console.log([line(head), line(head.map(() => "---")), ...body.map(line)].join("\n") + "\n");
}

const distinct = (name: string) => [...new Set(rows.map((row) => row[name]))];

if (kind === "quality") {
  const kept = rows.filter(({ policy }) => policy !== "full");
  const budgets = [...new Set(kept.map(({ budget }) => budget))];
  const titles: Record<string, string> = {
    text: "Continuation: nats per token more than with the full cache",
    again: "A passage again: nats per token more than with the full cache",
    facts: "Planted keys: answers right, of all",
    passkey: "Passkey: answers right, of all",
  };
  for (const task of distinct("task")) {
    const asks = task === "facts" || task === "passkey";
    const field = asks ? "hits" : "loss";
    const cell = (policy: string, budget: string) => {
      const row = kept.find((row) => row.policy === policy && row.budget === budget && row.task === task);
      if (row === undefined) return "";
      const loss = `${Number(row.loss).toFixed(2)} ± ${Number(row.loss_interval).toFixed(2)}`;
      return asks ? `${Math.round(100 * Number(row.hits))} % (${loss})` : loss;
    };
    const policies = [...new Set(kept.map(({ policy }) => policy))];
    console.log(`${titles[task]}\n`);
    table(
      ["policy", ...budgets],
      policies.map((policy) => [policy, ...budgets.map((budget) => cell(policy, budget))]),
    );
    const values = kept.filter((row) => row.task === task)
      .map((row) => ({ policy: row.policy, budget: Number(row.budget), value: Number(row[field]) }));
    await draw(`${name}-${task}`, {
      width: 560,
      height: 300,
      background: "white",
      title: titles[task],
      data: { values },
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
          title: asks ? "share of answers" : "nats per token",
        },
        color: { field: "policy", type: "nominal", legend: { labelLimit: 300 } },
      },
    });
  }
} else {
  const full = Object.fromEntries(
    rows.filter(({ policy }) => policy === "full").map((
      { tokens, decode_ms },
    ) => [tokens, Number(decode_ms)]),
  );
  table(
    [
      "policy",
      "budget",
      "prompt",
      "cache MB",
      "prompt tok/s",
      "decode tok/s",
      "of a token scoring",
      "× full",
    ],
    rows.map((row) => [
      row.policy,
      row.budget,
      row.tokens,
      (Number(row.cache_bytes) / 1e6).toFixed(1),
      (1000 * Number(row.tokens) / Number(row.prefill_ms)).toFixed(0),
      (1000 / Number(row.decode_ms)).toFixed(1),
      `${(100 * Number(row.scoring_ms) / Number(row.decode_ms)).toFixed(1)} %`,
      (full[row.tokens] / Number(row.decode_ms)).toFixed(2),
    ]),
  );
  await draw("policies-decode", {
    width: 560,
    height: 300,
    background: "white",
    title: "Tokens per second while decoding, by what is kept of the prompt",
    data: {
      values: rows.map((row) => ({
        run: row.policy === "full" ? "full" : `${row.policy}, ${row.budget}`,
        tokens: Number(row.tokens),
        value: 1000 / Number(row.decode_ms),
      })),
    },
    mark: { type: "line", point: true },
    encoding: {
      x: { field: "tokens", type: "quantitative", title: "tokens of the prompt" },
      y: { field: "value", type: "quantitative", title: "tokens per second" },
      color: { field: "run", type: "nominal", legend: { labelLimit: 300 } },
    },
  });
}
