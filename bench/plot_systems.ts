/**
 * Draws what `bench/systems.ts` recorded, as SVG, and prints it as one table: `*` marks what no other system beats at its
 * bytes or fewer, in the loss of running text or in answers found.
 *
 *   deno run -A bench/plot_systems.ts RECORD.csv FOLDER
 */
import { parse as parseCsv } from "@std/csv/parse";
import { compile, type TopLevelSpec } from "vega-lite";
import { parse, View } from "vega";

const [record, folder] = Deno.args;
if (folder === undefined) {
  console.log("usage: deno run -A bench/plot_systems.ts RECORD.csv FOLDER");
  Deno.exit(1);
}

const rows: Record<string, string>[] = parseCsv(await Deno.readTextFile(record), { skipFirstRow: true });
const columns = Object.keys(rows[0]);
const tasks = columns.filter((name) => name.endsWith("_loss")).map((name) => name.slice(0, -"_loss".length));
const isText = (task: string) => !["copy", "keys", "passkey"].includes(task);
type Row = Record<string, string>;

/** Mean loss over the texts; share of answers found. Both the smaller the better. */
const MEASURES = {
  text: {
    title: "Running text: nats per token more than with the full cache",
    of: (row: Row) => mean(tasks.filter(isText).map((task) => Number(row[`${task}_loss`]))),
  },
  recall: {
    title: "Answers not found: passkey and keys",
    of: (row: Row) => mean(["keys", "passkey"].map((task) => 1 - Number(row[`${task}_hits`]))),
  },
} as const;

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Whether nothing with as few bytes is better. */
function onFront(row: Row, of: (row: Row) => number): boolean {
  return rows.every((other) =>
    Number(other.bytes) > Number(row.bytes) * 1.01 || of(other) >= of(row) - 1e-9 || other === row
  );
}

const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
const titles = ["system", "share", "kB", ...tasks, "prompt tok/s", "decode tok/s"];
console.log(line(titles) + "\n" + line(titles.map(() => "---")));
for (const row of rows.toSorted((a, b) => Number(b.share || 1) - Number(a.share || 1))) {
  const star = (measure: keyof typeof MEASURES) => onFront(row, MEASURES[measure].of) ? " *" : "";
  console.log(line([
    row.system,
    row.share || "own",
    (Number(row.bytes) / 1e3).toFixed(0),
    ...tasks.map((task) => {
      const [loss, interval, hits] = ["loss", "interval", "hits"].map((name) =>
        Number(row[`${task}_${name}`])
      );
      if (task === "keys" || task === "passkey") return `${Math.round(100 * hits)} %${star("recall")}`;
      return `${loss.toFixed(2)} ± ${interval.toFixed(2)}${isText(task) ? star("text") : ""}`;
    }),
    row.prefill,
    row.decode,
  ]));
}

for (const [name, { title, of }] of Object.entries(MEASURES)) {
  const values = rows.map((row) => ({
    system: row.system,
    kilobytes: Number(row.bytes) / 1e3,
    value: of(row),
    front: onFront(row, of),
  }));
  const x = {
    field: "kilobytes",
    type: "quantitative",
    scale: { type: "log" },
    title: "kB of cache",
  } as const;
  const y = { field: "value", type: "quantitative", title: null } as const;
  const spec: TopLevelSpec = {
    width: 720,
    height: 420,
    background: "white",
    title,
    data: { values },
    layer: [
      {
        transform: [{ filter: "datum.front" }],
        mark: { type: "line", color: "#888", strokeDash: [4, 3] },
        encoding: { x, y },
      },
      {
        mark: { type: "point", filled: true, size: 60 },
        encoding: {
          x,
          y,
          color: { field: "system", type: "nominal", legend: { labelLimit: 300, symbolLimit: 60 } },
        },
      },
      {
        transform: [{ filter: "datum.front" }],
        mark: { type: "text", align: "left", dx: 6, dy: -4, fontSize: 10 },
        encoding: { x, y, text: { field: "system" } },
      },
    ],
  };
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/systems-${name}.svg`, await view.toSVG() + "\n");
  console.log(`${folder}/systems-${name}.svg`);
}
