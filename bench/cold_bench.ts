/**
 * A cold start: time from a new process to the first token of a local file, beside reading that file alone plus the
 * prompt alone; and the peak of memory, beside what was planned.
 *
 *   deno run -A bench/cold_bench.ts MODEL [--prompt 512] [--rounds 3] [--json]
 *
 * Before every cold run the file is dropped from the page cache (Linux, `dd oflag=nocache`). Every run is a process of
 * its own; figures are medians. JS heap is what V8 has reserved for objects at its peak, looked at after loading, the
 * prompt and 32 tokens.
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../mod.ts";
import { median } from "./statistics.ts";
import { commandLine } from "./usage.ts";

const DECODED = 32;

/** What one process found, in milliseconds and bytes. */
interface Run {
  /** From the start of the process. */
  startMs: number;
  loadMs: number;
  promptMs: number;
  /** The same prompt again, once kernels are translated. */
  warmPromptMs: number;
  firstTokenMs: number;
  plannedBytes: number;
  heapBytes: number;
  peakBytes: number;
}

/** Peak resident memory of this process, where the system tells. */
function peakBytes(): number {
  const kb = Deno.readTextFileSync("/proc/self/status").match(/VmHWM:\s*(\d+)/)?.[1];
  return kb === undefined ? Deno.memoryUsage().rss : 1024 * Number(kb);
}

async function runOnce(path: string, nPrompt: number): Promise<Run> {
  const startMs = performance.now();
  let heapBytes = 0;
  const look = () => heapBytes = Math.max(heapBytes, Deno.memoryUsage().heapTotal);
  const model = await loadModel(path, { context: nPrompt + DECODED });
  const loadMs = performance.now() - startMs;
  look();
  const sequence = model.sequence();
  const ids = Array.from({ length: nPrompt }, (_, i) => 1 + (i * 7919) % 200);
  const prompt = performance.now();
  await sequence.prefill(ids);
  sequence.row.argmax();
  const firstTokenMs = performance.now();
  look();
  for (let i = 0; i < DECODED; i++) sequence.decode(sequence.row.argmax());
  look();
  const peak = peakBytes();
  sequence.reset();
  const again = performance.now();
  await sequence.prefill(ids);
  return {
    startMs,
    loadMs,
    promptMs: firstTokenMs - prompt,
    warmPromptMs: performance.now() - again,
    firstTokenMs,
    plannedBytes: model.memoryBytes,
    heapBytes,
    peakBytes: peak,
  };
}

async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** Advises the system to forget the file's pages. */
const forget = (path: string) => output("dd", `if=${path}`, "iflag=nocache", "of=/dev/null", "count=0");

/** Milliseconds to read all of the file in pieces of 1 MiB. */
function readMs(path: string): number {
  using file = Deno.openSync(path);
  const piece = new Uint8Array(1 << 20);
  const start = performance.now();
  while (file.readSync(piece) !== null);
  return performance.now() - start;
}

if (import.meta.main) {
  const line = commandLine(import.meta.url);
  const { _: [path], prompt, rounds, json, child } = parseArgs(Deno.args, {
    string: ["prompt", "rounds"],
    boolean: ["json", "child"],
    default: { prompt: "512", rounds: "3" },
    unknown: line.unknown,
  });
  if (path === undefined) line.lacks("MODEL");
  const model = String(path);
  if (child) {
    console.log(JSON.stringify(await runOnce(model, Number(prompt))));
    Deno.exit(0);
  }
  const config = new URL("../deno.json", import.meta.url).pathname;
  const runs: (Run & { readMs: number })[] = [];
  for (let round = 0; round < Number(rounds); round++) {
    await forget(model);
    const read = readMs(model);
    await forget(model);
    const text = await output(
      Deno.execPath(),
      ...["run", "-A", "--config", config, import.meta.url, model, "--child", "--prompt", prompt],
    );
    runs.push({ ...JSON.parse(text) as Run, readMs: read });
  }
  const of = (what: (run: typeof runs[number]) => number) => median(runs.map(what));
  const bound = of((run) => run.readMs + run.warmPromptMs);
  const result = {
    readMs: of((run) => run.readMs),
    promptMs: of((run) => run.warmPromptMs),
    startMs: of((run) => run.startMs),
    loadMs: of((run) => run.loadMs),
    coldPromptMs: of((run) => run.promptMs),
    firstTokenMs: of((run) => run.firstTokenMs),
    ratio: of((run) => run.firstTokenMs) / bound,
    plannedBytes: of((run) => run.plannedBytes),
    heapBytes: of((run) => run.heapBytes),
    peakBytes: of((run) => run.peakBytes),
  };
  if (json) console.log(JSON.stringify(result));
  else {
    const ms = (value: number) => `${value.toFixed(0)} ms`.padStart(9);
    const mb = (value: number) => `${(value / 1e6).toFixed(1)} MB`.padStart(9);
    console.log(`reading alone            ${ms(result.readMs)}`);
    console.log(`${prompt} tokens of prompt, warm${ms(result.promptMs)}`);
    console.log(`first token, cold        ${ms(result.firstTokenMs)}   ${result.ratio.toFixed(2)} x the two`);
    console.log(`  start of the process   ${ms(result.startMs)}`);
    console.log(`  loading                ${ms(result.loadMs)}`);
    console.log(`  prompt                 ${ms(result.coldPromptMs)}`);
    console.log(`memory planned           ${mb(result.plannedBytes)}`);
    console.log(`JS heap, peak            ${mb(result.heapBytes)}`);
    console.log(`process, peak            ${mb(result.peakBytes)}`);
  }
}
