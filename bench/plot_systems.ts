/**
 * Draws what `bench/systems.ts` recorded, as SVG, and prints it as one table: `*` marks what no other system beats at its
 * bytes or fewer, in the loss of running text or in answers found.
 *
 *   deno run -A bench/plot_systems.ts RECORD.csv [FOLDER [DOCUMENT]]     in place of the last table of a document
 */
import { parseArgs } from "@std/cli/parse-args";
import { draw, table } from "./plotting.ts";
import { readRecord, type Row } from "./records.ts";
import { mean } from "./statistics.ts";
import { commandLine } from "./usage.ts";

/** Where the record of speed lies. */
export const speedRecord = (record: string) => record.replace(/(\.csv)?$/, "-speed.csv");

const RECALL = ["keys", "passkey"];
const tasksOf = ([row]: readonly Row[]) =>
  Object.keys(row).filter((name) => name.endsWith("_nll")).map((name) => name.slice(0, -4));
const isText = (task: string) => task !== "copy" && !RECALL.includes(task);

/** What the front is about, the smaller the better: mean loss over the texts; share of answers not found. */
function measures(rows: readonly Row[]) {
  const texts = tasksOf(rows).filter(isText);
  return {
    text: {
      title: "Running text and code: nats per token more than with the full cache",
      of: (row: Row) => mean(texts.map((task) => Number(row[`${task}_loss`]))),
    },
    recall: {
      title: "Answers not found: passkey and keys",
      of: (row: Row) => mean(RECALL.map((task) => 1 - Number(row[`${task}_hits`]))),
    },
  } as const;
}

/** Whether nothing with as few bytes is better. */
function onFront(row: Row, rows: readonly Row[], of: (row: Row) => number): boolean {
  return rows.every((other) =>
    Number(other.bytes) > Number(row.bytes) * 1.01 || of(other) >= of(row) - 1e-9 || other === row
  );
}

/** The cells of the table, in order of shares; no columns of speed where none was measured. */
export function systemsTable(rows: readonly Row[], speeds: readonly Row[]): [string[], string[][]] {
  const tasks = tasksOf(rows);
  const { text, recall } = measures(rows);
  const speedOf = ({ system, share }: Row) =>
    speeds.find((row) => row.system === system && (row.share === "" || row.share === share));
  const body = rows.toSorted((a, b) => Number(b.share || 1) - Number(a.share || 1)).map((row) => {
    const star = ({ of }: typeof text | typeof recall) => onFront(row, rows, of) ? " *" : "";
    const cell = (task: string) => {
      const number = (name: string, digits = 2) => Number(row[`${task}_${name}`]).toFixed(digits);
      if (RECALL.includes(task)) {
        const [hits, interval] = ["hits", "hits_interval"].map((name) =>
          100 * Number(row[`${task}_${name}`])
        );
        return `${hits.toFixed(0)} ± ${interval.toFixed(0)} %${star(recall)}`;
      }
      const loss = `${number("loss")} ± ${number("loss_interval")}`.replace("-0.00", "0.00");
      if (task === "copy") return loss;
      return `${Math.exp(Number(row[`${task}_nll`])).toFixed(1)} (${loss})${star(text)}`;
    };
    const { prefill = "", decode = "" } = speedOf(row) ?? {};
    const speed = speeds.length === 0 ? [] : [prefill, decode];
    return [
      row.system,
      row.share || "own",
      row.prompts,
      (Number(row.bytes) / 1e3).toFixed(0),
      (Number(row.peak_bytes) / 1e6).toFixed(2),
      ...tasks.map(cell),
      ...speed,
    ];
  });
  const speedHead = speeds.length === 0 ? [] : ["prompt tok/s", "decode tok/s"];
  return [["system", "share", "n", "kB", "peak MB", ...tasks, ...speedHead], body];
}

/** How a system holds the tokens that it keeps, by its name: what explains most of where it lies. */
function held(system: string): string {
  if (/f16/.test(system)) return "16 bits";
  if (/q4_0/.test(system)) return "4 bits (q4_0)";
  return /kivi|cq|think/.test(system) ? "coded (kivi, cq, think)" : "8 bits";
}

/** Two points closer than both, as shares of the front's height and width, have room for one name. */
const NAME_APART = 0.03;
const NAME_WIDE = 0.2;

/** Points of the front whose names do not run into each other. */
function named<T extends { kilobytes: number; value: number }>(front: readonly T[]): T[] {
  const span = (values: readonly number[]) => Math.max(...values) - Math.min(...values) || 1;
  const [width, height] = [span(front.map((p) => Math.log(p.kilobytes))), span(front.map((p) => p.value))];
  const chosen: T[] = [];
  for (const point of front.toSorted((a, b) => a.value - b.value)) {
    const apart = (other: T) =>
      Math.abs(point.value - other.value) / height > NAME_APART ||
      Math.abs(Math.log(point.kilobytes / other.kilobytes)) / width > NAME_WIDE;
    if (chosen.every(apart)) chosen.push(point);
  }
  return chosen;
}

/** Prints the table of a record, or puts it into a document, and draws its plots where a folder is given. */
export async function showSystems(record: string, folder?: string, document?: string): Promise<void> {
  const rows = await readRecord(record);
  if (rows.length === 0) return;
  const shown = table(...systemsTable(rows, await readRecord(speedRecord(record))));
  if (document === undefined) console.log(shown);
  else {
    const text = await Deno.readTextFile(document);
    await Deno.writeTextFile(document, text.replace(/(\|.*\n)+(?![^]*\n\|)/, () => shown));
  }
  if (folder === undefined) return;
  for (const [name, { title, of }] of Object.entries(measures(rows))) {
    const values = rows.map((row) => ({
      system: row.system,
      held: held(row.system),
      kilobytes: Number(row.bytes) / 1e3,
      value: of(row),
      front: onFront(row, rows, of),
    }));
    const x = {
      field: "kilobytes",
      type: "quantitative",
      scale: { type: "log", nice: false, padding: 12 },
      title: "kB of cache",
    } as const;
    const y = { field: "value", type: "quantitative", title: null } as const;
    await draw(folder, `systems-${name}`, {
      width: 720,
      height: 420,
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
            color: { field: "held", type: "nominal", title: "tokens held in", legend: { labelLimit: 200 } },
            opacity: { condition: { test: "datum.front", value: 1 }, value: 0.45 },
            description: { field: "system" },
          },
        },
        {
          data: { values: named(values.filter(({ front }) => front)) },
          mark: { type: "text", align: "left", dx: 6, dy: -4, fontSize: 10 },
          encoding: { x, y, text: { field: "system" } },
        },
      ],
    });
  }
}

if (import.meta.main) {
  const line = commandLine(import.meta.url);
  const [record, folder, document] = parseArgs(Deno.args, { unknown: line.unknown })._.map(String);
  if (record === undefined) line.lacks("RECORD.csv");
  await showSystems(record, folder, document);
}
