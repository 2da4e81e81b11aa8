/**
 * Locket beside its peers on the same machine, the same file, one thread each, in alternation.
 *
 *   deno task bench:peers --model FILE.gguf [--rounds 3] [--engines native,locket,wllama-2]
 *                         [--lengths 512,2000,8000] [--record NAME] [--json]
 *
 * Installs the peers from npm into `bench/peers/node_modules` the first time. Chromium must be at /usr/bin/chromium for
 * wllama. Prints medians and their ratio to native llama.cpp; `--record NAME` appends every single measurement to
 * `bench/record/NAME.csv`, from which `deno task bench:plot` draws. Every length is a process of its own, so that its peak memory is that length's.
 */
import { parseArgs } from "@std/cli/parse-args";
import { type Engine, ENGINES, type Measured } from "./engines.ts";
import { median } from "../statistics.ts";
import { commandLine } from "../usage.ts";

type What = "prefill" | "decode" | "memory";

interface Row {
  engine: string;
  what: What;
  tokens: number;
  /** Tokens per second, or MiB for "memory"; one value a round. */
  values: number[];
}

const line = commandLine(import.meta.url);
const flags = parseArgs(Deno.args, {
  string: ["model", "rounds", "engines", "lengths", "record"],
  boolean: ["json"],
  default: {
    rounds: "3",
    lengths: "512,2000,8000",
    engines: ENGINES.map((e) => e.name).join(","),
  },
  unknown: line.unknown,
});
if (!flags.model) line.lacks("--model");

const here = new URL(".", import.meta.url);
const lengths = (text: string) => text.split(",").filter(Boolean).map(Number);

async function output(command: string[], cwd?: URL): Promise<string> {
  const [program, ...args] = command;
  const { success, stdout } = await new Deno.Command(program, {
    args,
    cwd,
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${command.slice(0, 3).join(" ")} failed`);
  return new TextDecoder().decode(stdout);
}

async function installPeers(): Promise<void> {
  const installed = await Deno.stat(new URL("node_modules/", here)).then(
    () => true,
    () => false,
  );
  if (!installed) {
    await output([
      "npm",
      "install",
      "--omit=optional",
      "--no-package-lock",
      "--silent",
    ], here);
  }
}

async function measure(
  engine: Engine,
  model: string,
  length: number,
): Promise<Measured> {
  const text = await output(
    engine.command(model, String(length), String(length)),
  );
  return JSON.parse(text.trim().split("\n").at(-1)!);
}

async function machine(): Promise<string> {
  const cpu = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  const model = cpu.match(/model name\s*: (.*)/)?.[1] ?? "unknown CPU";
  const simd = [
    ...new Set(
      cpu.match(/\b(?:avx512_vnni|avx_vnni|avx512f|avx2|asimddp|i8mm)\b/g) ??
        [],
    ),
  ].join(" ");
  return `${model} (${simd}), ${navigator.hardwareConcurrency} cores, ${Deno.build.os}, Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`;
}

const engines = flags.engines.split(",").map((name: string): Engine => {
  const engine = ENGINES.find((e) => e.name === name);
  if (!engine) {
    throw new Error(
      `unknown engine ${name}; known: ${ENGINES.map((e) => e.name).join(", ")}`,
    );
  }
  return engine;
});
if (engines.some((e: Engine) => !e.name.startsWith("locket"))) {
  await installPeers();
}

const model = flags.model.split("/").at(-1)!;
const rows = new Map<string, Row>();
const versions = new Map<string, string>();
const record = flags.record === undefined ? null : await openRecord(flags.record);

/** A CSV file that measurements are appended to as they come: a run that is ended early keeps what it has. */
async function openRecord(name: string): Promise<URL> {
  const file = new URL(`../record/${name}.csv`, here);
  const fresh = await Deno.stat(file).then(() => false, () => true);
  if (fresh) {
    await Deno.writeTextFile(
      file,
      `# ${await machine()}\nmodel,engine,what,tokens,round,value\n`,
    );
  }
  return file;
}

async function keep(
  engine: string,
  what: What,
  tokens: number,
  value: number,
): Promise<void> {
  const key = `${engine} ${what} ${tokens}`;
  if (!rows.has(key)) rows.set(key, { engine, what, tokens, values: [] });
  const { values } = rows.get(key)!;
  const line = [model, engine, what, tokens, values.length, value.toFixed(2)]
    .join(",");
  if (record !== null) {
    await Deno.writeTextFile(record, line + "\n", { append: true });
  }
  values.push(value);
}

for (let round = 0; round < Number(flags.rounds); round++) {
  for (const engine of engines) {
    if (!flags.json) {
      console.error(`round ${round + 1} of ${flags.rounds}: ${engine.name}`);
    }
    for (
      const tokens of lengths(flags.lengths).filter((n) => n <= engine.longest)
    ) {
      const measured = await measure(engine, flags.model, tokens);
      versions.set(engine.name, measured.version);
      await keep(engine.name, "prefill", tokens, measured.prefill[tokens]);
      await keep(engine.name, "decode", tokens, measured.decode[tokens]);
      if (measured.peakMiB) {
        await keep(engine.name, "memory", tokens, measured.peakMiB);
      }
    }
  }
}

if (flags.json) {
  const medians = [...rows.values()].map((r) => ({
    ...r,
    median: median(r.values),
  }));
  console.log(
    JSON.stringify({
      machine: await machine(),
      model,
      versions: Object.fromEntries(versions),
      rows: medians,
    }),
  );
} else {
  console.log(
    `\n${model}, one thread, medians of ${flags.rounds} rounds, tokens/s (x native), memory in MiB\n${await machine()}\n`,
  );
  const columns = (["prefill", "decode", "memory"] as const).flatMap((what) =>
    lengths(flags.lengths).map((n) => [what, n] as const)
  );
  console.log(
    [
      "engine".padEnd(30),
      ...columns.map(([what, n]) => `${what} ${n}`.padStart(18)),
    ].join(""),
  );
  for (const engine of engines) {
    const cells = columns.map(([what, n]) => {
      const row = rows.get(`${engine.name} ${what} ${n}`);
      const native = rows.get(`native ${what} ${n}`);
      if (!row) return "-".padStart(18);
      const ratio = native ? ` (${(median(row.values) / median(native.values)).toFixed(2)})` : "";
      return (median(row.values).toFixed(1) + ratio).padStart(18);
    });
    console.log([engine.title.padEnd(30), ...cells].join(""));
  }
}
