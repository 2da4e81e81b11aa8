/**
 * The kernels against the machine's limits, one after the other: matrix products, attention, the small operations of a
 * token. Each is a command of its own, with flags of its own.
 *
 *   deno task bench
 */
import { parseArgs } from "@std/cli/parse-args";
import { commandLine } from "./usage.ts";

parseArgs(Deno.args, { unknown: commandLine(import.meta.url).unknown });

const BENCHES = [
  ["run", "bench/kernels_bench.ts"],
  ["run", "bench/kernels/attention_bench.ts"],
  ["bench", "bench/kernels/operations_bench.ts"],
];

for (const [command, file] of BENCHES) {
  const args = [command, "-A", file];
  const cwd = new URL("../", import.meta.url);
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd }).spawn().status;
  if (code !== 0) Deno.exit(code);
}
