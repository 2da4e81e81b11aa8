/** Records of benches: CSV with a line of names, and comments behind `#`. */
import { parse } from "@std/csv/parse";
import { stringify } from "@std/csv/stringify";

/** One line by name of column. */
export type Row = Record<string, string>;

/** The rows of a record; none where there is no such file. */
export async function readRecord(path: string): Promise<Row[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  return parse(text, { skipFirstRow: true, comment: "#" });
}

/** Writes rows that all have the columns of the first. */
export async function writeRecord(path: string, rows: readonly Record<string, unknown>[]): Promise<void> {
  const columns = Object.keys(rows[0]);
  const text = stringify(rows, { columns, crlf: false }) as string;
  await Deno.writeTextFile(path, text);
}
