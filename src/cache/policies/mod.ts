/**
 * All policies that can be named, and the wrappers that every one of them takes as parameters.
 *
 * @module
 */
import { findEntry, type Param, readValues } from "../named.ts";
import type { Policy } from "../policy.ts";
import { everyNSteps, pyramid } from "../wrappers.ts";
import { anchor } from "./anchor.ts";
import { corm } from "./corm.ts";
import { elastic } from "./elastic.ts";
import { expectedAttention } from "./expected_attention.ts";
import { cascading } from "./cascading.ts";
import { full } from "./full.ts";
import { h2o } from "./h2o.ts";
import { keydiff } from "./keydiff.ts";
import { kCenter } from "./k_center.ts";
import { keyformer } from "./keyformer.ts";
import { knorm } from "./knorm.ts";
import { massfold } from "./massfold.ts";
import type { PolicyEntry } from "./params.ts";
import { pyramidkv } from "./pyramidkv.ts";
import { random } from "./random.ts";
import { reconstruction } from "./reconstruction.ts";
import { sepllm } from "./sepllm.ts";
import { snapkv } from "./snapkv.ts";
import { subgen } from "./subgen.ts";
import { streamingLlm } from "./streaming_llm.ts";
import { tova } from "./tova.ts";
import { window } from "./window.ts";
import { zipvl } from "./zipvl.ts";

export type { Param, PolicyEntry };

/** Every policy by name. */
export const POLICIES: readonly PolicyEntry[] = [
  full,
  window,
  streamingLlm,
  cascading,
  h2o,
  keyformer,
  tova,
  snapkv,
  pyramidkv,
  expectedAttention,
  reconstruction,
  massfold,
  elastic,
  corm,
  keydiff,
  knorm,
  sepllm,
  anchor,
  kCenter,
  subgen,
  zipvl,
  random,
];

/** What every policy but `full` takes beside its own parameters. */
export const WRAPPERS: Readonly<Record<string, Param>> = {
  every: {
    default: 1,
    help: "Observe and reduce in every n-th token after the prompt only",
    least: 1,
    most: 256,
    whole: true,
  },
  pyramid: {
    default: 0,
    help:
      "Give low layers more of the budget (arXiv 2406.02069): 1/n of the mean in the last, at most 2 - 1/n in the first; 0: not",
    least: 0,
    most: 1000,
    whole: true,
  },
};

/**
 * The policy that `NAME[:key=value,…]` stands for; `null` for `full`.
 *
 * @throws {OptionError} When the name or a parameter is unknown, or a value out of its bounds.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { readPolicy } from "./mod.ts";
 *
 * assertEquals(readPolicy("keyformer:noise=none,tau_end=1")?.params.tauEnd, 1);
 * ```
 */
export function readPolicy(text: string): Policy | null {
  const { entry, pairs } = findEntry("policy", POLICIES, text);
  const params = entry === full ? {} : { ...entry.params, ...WRAPPERS };
  const values = readValues({ name: entry.name, params }, pairs);
  const policy = entry.create(values);
  if (policy === null) return null;
  const [every, beta] = [values.number("every"), values.number("pyramid")];
  const spread = beta > 0
    ? pyramid({ ...policy, params: values.all }, beta)
    : { ...policy, params: values.all };
  return every > 1 ? everyNSteps(spread, every) : spread;
}
