/**
 * Draws what `bench:peers --record` kept: tokens per second and memory against context, by engine, as SVG.
 *
 *   deno task bench:plot RECORD.csv FOLDER       writes decode.svg, prefill.svg, memory.svg
 */
import { parseArgs } from "@std/cli/parse-args";
import { draw } from "./plotting.ts";
import { readRecord } from "./records.ts";
import { commandLine } from "./usage.ts";

const line = commandLine(import.meta.url);
const [record, folder] = parseArgs(Deno.args, { unknown: line.unknown })._.map(String);
if (folder === undefined) line.lacks(record === undefined ? "RECORD.csv" : "FOLDER");

const rows = (await readRecord(record)).map(({ model, engine, what, tokens, value }) => ({
  engine,
  // smol135-Q4_0.gguf
  weights: model.replace(".gguf", "").split("-").at(-1)!,
  what,
  tokens: Number(tokens),
  value: Number(value),
}));

const TITLES = {
  decode: "Tokens per second while decoding",
  prefill: "Tokens per second of prompt",
  memory: "Peak memory of the process, MiB",
};

for (const [what, title] of Object.entries(TITLES)) {
  const values = rows.filter((row) => row.what === what);
  if (values.length === 0) continue;
  await draw(folder, what, {
    title: `${title}, one thread`,
    data: { values },
    encoding: {
      x: { field: "tokens", type: "quantitative", title: "tokens in the cache" },
      y: { field: "value", aggregate: "median", type: "quantitative", title, scale: { type: "log" } },
      color: { field: "engine", type: "nominal" },
    },
    layer: [
      { mark: "line", encoding: { strokeDash: { field: "weights", type: "nominal", title: "file" } } },
      // Points of their own: with those of a line its legend would show points for dashes.
      { mark: { type: "point", filled: true }, encoding: { detail: { field: "weights" } } },
    ],
  });
}
