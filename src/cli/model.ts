/**
 * The model that a command runs on, and the options that say which and how.
 *
 * @module
 */
import type { KvTypeName } from "../cache/kv_cache.ts";
import { OptionError } from "../error.ts";
import { openModel } from "../gguf/mod.ts";
import type { OpenModel } from "../gguf/mod.ts";
import type { Model } from "../model/engine.ts";
import type { PlanOptions } from "../model/plan.ts";
import { loadModel, type LoadModelOptions } from "../runtime/load_model.ts";
import { openSource } from "../runtime/open_source.ts";
import type { Arguments } from "./args.ts";
import { readCalibrationFile } from "./calibration.ts";
import { writeError } from "./host.ts";
import { modelInput } from "./model_input.ts";
import { progressBar, waitingLine } from "./progress.ts";

/** Options of every command that plans or loads. */
export const PLAN_OPTIONS = {
  "context": { value: "N", help: "Tokens a sequence can hold (default: the model's own, at most 4,096)" },
  "max-bytes": { value: "SIZE", help: "Refuse to take more memory than this, such as 128MB or 1GiB" },
  "kv-type": {
    value: "TYPE",
    help: "Storage of keys and values: f32, f16, q8_0 or q4_0; or one each, as q8_0,f16",
  },
  "policy": {
    value: "NAME[:KEY=VALUE,…]",
    help: "What stays in the cache (default: full; see `deno task policies`), or auto, by bytes",
  },
  "budget": {
    value: "SIZE",
    help: "How much of it: 0.5 of the prompt, 512 slots, or 24MB of a sequence (default: 0.5)",
  },
  "prefill": {
    value: "MODE",
    help: "Reduce a prompt by chunks, streaming, or once, whole; sparse: ahead of attention",
  },
  "budget-rule": {
    value: "NAME[:KEY=VALUE,…]",
    help: "How a layer's budget is spread over its KV heads (default: uniform)",
  },
  "victims": { value: "NAME", help: "What becomes of tokens that leave: drop (default) or mass_fold" },
  "storage": {
    value: "NAME[:KEY=VALUE,…]",
    help: "How keys and values are stored (default: plain, as --kv-type says)",
  },
  "calibration": {
    value: "FILE",
    help: "What `deno task calibrate` wrote, for --storage cq (default: beside the model)",
  },
  "read": {
    value: "NAME[:KEY=VALUE,…]",
    help: "What of them attention reads (default: dense, everything)",
  },
  "positions": {
    value: "KIND",
    help: "original: those of the text; compact: those in the cache, for endless texts",
  },
};

/** Options of every command that loads. */
export const MODEL_OPTIONS = {
  "model": { value: "PATH|URL", help: "A GGUF file (default: the bundled model)" },
  ...PLAN_OPTIONS,
};

/** The part of the options that decides the memory plan. */
export function planOptions(args: Arguments): PlanOptions {
  return {
    context: args.integer("context", 1),
    maxBytes: args.bytes("max-bytes"),
    kvType: kvType(args.string("kv-type")),
    policy: args.string("policy"),
    budget: args.string("budget"),
    prefill: args.string("prefill") as PlanOptions["prefill"],
    budgetRule: args.string("budget-rule"),
    victims: args.string("victims"),
    storage: args.string("storage"),
    read: args.string("read"),
    positions: args.string("positions") as PlanOptions["positions"],
  };
}

/** One type for both, or keys' and values' apart. */
function kvType(text: string | undefined): PlanOptions["kvType"] {
  if (!text?.includes(",")) return text as KvTypeName | undefined;
  const [k, v, ...more] = text.split(",");
  if (more.length > 0) throw new OptionError("--kv-type", text, "a type, or two such as q8_0,f16");
  return { k: k as KvTypeName, v: v as KvTypeName };
}

/** Reads the headers of a model and no weights. */
export async function openHeader(given: string | undefined): Promise<OpenModel> {
  const source = openSource(modelInput(given));
  const stopWaiting = waitingLine(source.name);
  const file = await openModel(source).finally(stopWaiting);
  file.close();
  return file;
}

/** A model and how long it took to load, in ms. */
export interface Loaded {
  readonly model: Model;
  readonly loadMs: number;
}

/** Loads the model with a progress bar for who watches. */
export async function load(args: Arguments, more: LoadModelOptions = {}): Promise<Loaded> {
  const calibration = await readCalibrationFile(args, args.string("model"));
  const options = { ...planOptions(args), calibration, ...more };
  const start = performance.now();
  const source = openSource(modelInput(args.string("model")));
  const bar = await progressBar(source.name);
  const loading = loadModel(source, { ...options, onProgress: bar.show });
  const model = await loading.finally(() => bar.stop());
  const loadMs = performance.now() - start;
  const { automatic } = model.plan;
  if (automatic !== null) writeError(`policy auto: ${automatic.reason}\n`);
  return { model, loadMs };
}
