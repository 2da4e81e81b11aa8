/**
 * Locket, one thread. Prints one JSON object like native.mjs:
 *
 *   deno run -A --config deno.json bench/peers/locket.ts MODEL --binary relaxed|simd128 --prefill 512 --decode 512
 *     [--steps 48] [--kv-type q8_0]
 */
import { parseArgs } from "@std/cli/parse-args";
import { loadModel } from "../../mod.ts";
import config from "../../deno.json" with { type: "json" };
import { commandLine } from "../usage.ts";

const line = commandLine(import.meta.url);
const flags = parseArgs(Deno.args, {
  string: ["binary", "prefill", "decode", "steps", "kv-type"],
  default: {
    binary: "relaxed",
    prefill: "512",
    decode: "512",
    steps: "48",
    "kv-type": "q8_0",
  },
  unknown: line.unknown,
});
if (flags._.length === 0) line.lacks("MODEL");
const lengths = (text: string) => text.split(",").filter(Boolean).map(Number);
const prefills = lengths(flags.prefill),
  decodes = lengths(flags.decode),
  steps = Number(flags.steps);
/** The same ids as native.mjs: byte tokens, never a special one. */
const tokens = (n: number) => Array.from({ length: n }, (_, i) => 1 + (i * 7919) % 200);

const model = await loadModel(String(flags._[0]), {
  context: Math.max(...prefills, ...decodes) + steps + 8,
  binary: flags.binary as "relaxed" | "simd128",
  kvType: flags["kv-type"] as "q8_0",
});
const sequence = model.sequence();
const report = {
  prefill: {} as Record<string, number>,
  decode: {} as Record<string, number>,
  version: config.version,
  peakMiB: 0,
};
await sequence.prefill(tokens(64)); // warm-up: V8 compiles the kernels with its optimising tier
for (let i = 0; i < 16; i++) sequence.decode(1);
for (const n of prefills) {
  sequence.reset();
  const began = performance.now();
  await sequence.prefill(tokens(n));
  report.prefill[n] = n / ((performance.now() - began) / 1000);
}
for (const n of decodes) {
  sequence.reset();
  await sequence.prefill(tokens(n));
  const began = performance.now();
  for (let i = 0; i < steps; i++) sequence.decode(1 + i % 200);
  report.decode[n] = steps / ((performance.now() - began) / 1000);
}
const peak = Deno.readTextFileSync("/proc/self/status").match(/VmHWM:\s*(\d+)/)?.[1];
report.peakMiB = Math.round(Number(peak) / 1024);
console.log(JSON.stringify(report));
