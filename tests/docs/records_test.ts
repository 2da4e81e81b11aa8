/**
 * Tables of measurements in documents say what the records of the benches say.
 *
 * @module
 */
import { assert } from "@std/assert";
import { floorsTable, qualityTable } from "../../bench/plot_quality.ts";
import { speedRecord, systemsTable } from "../../bench/plot_systems.ts";
import { readRecord, type Row } from "../../bench/records.ts";

const root = new URL("../../", import.meta.url);
const record = (name: string) => new URL(`bench/record/${name}.csv`, root).pathname;

/** The rows of all tables of a document, each as its cells side by side. */
async function rowsOf(document: string): Promise<Set<string>> {
  const text = await Deno.readTextFile(new URL(document, root));
  const rows = text.split("\n").filter((line) => line.startsWith("|"));
  return new Set(rows.map((row) => row.slice(1, -1).split("|").map((cell) => cell.trim()).join(" | ")));
}

function assertShown(
  rows: Set<string>,
  [head, body]: readonly [readonly string[], readonly (readonly string[])[]],
): void {
  for (const cells of [head, ...body]) assert(rows.has(cells.join(" | ")), cells.join(" | "));
}

Deno.test("docs/systems.md has the table of its records", async () => {
  const [quality, speed] = [record("systems"), speedRecord(record("systems"))];
  assertShown(
    await rowsOf("docs/systems.md"),
    systemsTable(await readRecord(quality), await readRecord(speed)),
  );
});

Deno.test("docs/systems.md has the table of prompts read in chunks", async () => {
  assertShown(
    await rowsOf("docs/systems.md"),
    systemsTable(await readRecord(record("systems-streaming")), []),
  );
});

Deno.test("docs/quality.md has the tables of its records", async () => {
  const shown = await rowsOf("docs/quality.md");
  for (const [name, tasks] of [["locket-books", 4], ["stories260k", 2]] as const) {
    const rows = await readRecord(record(`quality-${name}`));
    for (const task of ["text", "again", "facts", "passkey"].slice(0, tasks)) {
      assertShown(shown, qualityTable(rows, task));
      if (task !== "again") assertShown(shown, floorsTable(rows, task, ["keyformer"]));
    }
  }
});

Deno.test("docs/policies.md has the figures of endless texts", async () => {
  const rows = await readRecord(record("endless"));
  const body = rows.map((row) => [
    row.policy,
    Number(row.tokens).toLocaleString("en"),
    `${(Number(row.memory_bytes) / 1e6).toFixed(2)} MB`,
    row.ms_per_token,
    row.ms_per_token_at_end,
    Number(row.nll).toFixed(3),
    row.behind && [row.behind, row.behind_interval].map((nats) => Number(nats).toFixed(3)).join(" ± "),
  ]);
  assertShown(await rowsOf("docs/policies.md"), [
    [
      "policy",
      "tokens",
      "memory",
      "ms per token",
      "ms per token, last 4,096",
      "nats per token",
      "behind the window",
    ],
    body,
  ]);
});

Deno.test("docs/policies.md has what other policies lose on endless texts", async () => {
  const [books, python] = await Promise.all(
    ["endless-books", "endless-python"].map(async (name) =>
      (await readRecord(record(name))).filter(({ tokens }) => tokens === "32768")
    ),
  );
  const [nats, behind] = ["nats per token", "behind the window"];
  const cells = ({ nll, behind, behind_interval }: Row) => [
    Number(nll).toFixed(3),
    behind && [behind, behind_interval].map((value) => Number(value).toFixed(3)).join(" ± "),
  ];
  assertShown(await rowsOf("docs/policies.md"), [
    ["policy", `${nats}, books`, behind, `${nats}, Python`, behind],
    books.map((row, i) => [`\`${row.policy}\``, ...cells(row), ...cells(python[i])]),
  ]);
});

Deno.test("docs/policies.md has what anchors and separators cost", async () => {
  const rows = await readRecord(record("anchors"));
  const [books, python] = ["books", "python"].map((text) => rows.filter((row) => row.text === text));
  const cells = ({ kept, nll, behind, behind_interval }: Row) => [
    Number(kept).toFixed(2),
    Number(nll).toFixed(3),
    behind && [behind, behind_interval].map((value) => Number(value).toFixed(3)).join(" ± "),
  ];
  assertShown(await rowsOf("docs/policies.md"), [
    ["model", "policy", "slots kept, books", "books", "behind", "slots kept, Python", "Python", "behind"],
    books.map((row, i) => [
      row.model,
      `\`${row.policy}\`${row.budget && `, ${row.budget} slots`}`,
      ...cells(row),
      ...cells(python[i]),
    ]),
  ]);
});
