/**
 * The systems that are compared at equal bytes, each by the options that make it. A policy's budget is filled in from the
 * bytes; a system without one takes what it takes.
 */
import type { PlanOptions } from "../../src/model/plan.ts";

export interface System {
  readonly name: string;
  readonly options: PlanOptions;
  /** Whether it draws: then it runs with several seeds. */
  readonly draws?: boolean;
}

/** A policy on its own, with 8-bit keys and values. */
const policy = (name: string, draws = false): System => ({ name, options: { policy: name }, draws });

/** A policy with the 4-bit cache: twice the tokens in the same bytes. */
const fourBit = ({ name, options, draws }: System): System => ({
  name: `${name} + q4_0`,
  options: { ...options, kvType: "q4_0" },
  draws,
});

export const SYSTEMS: readonly System[] = [
  { name: "full, f16", options: { kvType: "f16" } },
  { name: "full, q8_0", options: {} },
  { name: "full, q4_0", options: { kvType: "q4_0" } },
  policy("window"),
  policy("random", true),
  policy("h2o"),
  policy("keyformer", true),
  policy("tova"),
  policy("snapkv:window=16"),
  fourBit(policy("window")),
  fourBit(policy("h2o")),
  fourBit(policy("keyformer", true)),
  fourBit(policy("snapkv:window=16")),
];
