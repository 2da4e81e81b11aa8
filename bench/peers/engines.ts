/**
 * The engines that `deno task bench:peers` runs side by side. Each is a process that measures itself on the same file
 * and prints one JSON object `{prefill: {nTokens: tokens/s}, decode: {nCached: tokens/s}, version}`, so that no engine
 * inherits another's heap, caches or compiled code.
 */
export interface Measured {
  prefill: Record<string, number>;
  decode: Record<string, number>;
  version: string;
  /** Peak resident memory of the process in MiB, where the engine can tell. */
  peakMiB?: number;
}

export interface Engine {
  readonly name: string;
  /** What the table says of it. */
  readonly title: string;
  command(model: string, prefill: string, decode: string): string[];
  /** Longest prompt and cache that finish in reasonable time; longer ones are left out and shown as "-". */
  readonly longest: number;
}

const here = new URL(".", import.meta.url).pathname;

export const ENGINES: readonly Engine[] = [
  {
    name: "native",
    title: "llama.cpp native, f16 cache",
    longest: 8192,
    command: (
      model,
      prefill,
      decode,
    ) => [
      "node",
      `${here}native.mjs`,
      model,
      "--prefill",
      prefill,
      "--decode",
      decode,
    ],
  },
  {
    name: "locket",
    title: "Locket, relaxed SIMD",
    longest: 8192,
    command: (model, prefill, decode) => locket("relaxed", model, prefill, decode),
  },
  {
    name: "locket-simd128",
    title: "Locket, simd128",
    longest: 8192,
    command: (model, prefill, decode) => locket("simd128", model, prefill, decode),
  },
  {
    name: "wllama-2",
    title: "wllama 2.4.0 (Chromium)",
    longest: 2000,
    command: (model, prefill, decode) => wllama("wllama-2", model, prefill, decode),
  },
  {
    name: "wllama-3",
    title: "wllama 3.8.1 (Chromium)",
    longest: 2000,
    command: (model, prefill, decode) => wllama("@wllama/wllama", model, prefill, decode),
  },
  {
    name: "onnxruntime-web",
    title: "onnxruntime-web 1.30, int8",
    longest: 2000,
    // Made by make_onnx.py beside the GGUF file: smol135-Q4_0.gguf -> smol135-int8.onnx.
    command: (model, prefill, decode) => [
      "node",
      `${here}onnx.mjs`,
      model.replace(/-[^-/]*\.gguf$/, "-int8.onnx"),
      "--prefill",
      prefill,
      "--decode",
      decode,
    ],
  },
];

const locket = (
  binary: string,
  model: string,
  prefill: string,
  decode: string,
) => [
  Deno.execPath(),
  "run",
  "-A",
  // The peers' package.json beside it would else hide the project's import map.
  "--config",
  `${here}../../deno.json`,
  `${here}locket.ts`,
  model,
  "--binary",
  binary,
  "--prefill",
  prefill,
  "--decode",
  decode,
];

const wllama = (
  name: string,
  model: string,
  prefill: string,
  decode: string,
) => [
  "node",
  `${here}wllama.mjs`,
  model,
  "--package",
  name,
  "--prefill",
  prefill,
  "--decode",
  decode,
];
