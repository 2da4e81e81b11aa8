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

/** A policy with another choice on one of the other axes. */
function beside(name: string, axes: PlanOptions, title: string, draws = false): System {
  return { name: `${name} + ${title}`, options: { policy: name, ...axes }, draws };
}

/** What the prompt's last queries choose. Windows are smaller than in the papers, to fit the small budgets of this bench. */
const SNAPKV = "snapkv:window=16";

export const SYSTEMS: readonly System[] = [
  { name: "full, f16", options: { kvType: "f16" } },
  { name: "full, q8_0", options: {} },
  { name: "full, q4_0", options: { kvType: "q4_0" } },
  { name: "full, kivi 4 bit", options: { storage: "kivi:bits=4" } },
  { name: "full, kivi 2 bit", options: { storage: "kivi:bits=2" } },
  { name: "full, think", options: { storage: "think" } },
  policy("window"),
  policy("streaming_llm"),
  policy("random", true),
  policy("h2o"),
  policy("keyformer", true),
  policy("tova"),
  policy(SNAPKV),
  policy("pyramidkv:window=16"),
  policy("expected_attention"),
  policy("massfold:window=16,pool=5"),
  policy("reconstruction"),
  policy("elastic:distance=10"),
  policy("corm:window=32,recent=16"),
  policy("keydiff:recent=0.3"),
  policy("knorm:recent=0.3"),
  policy("sepllm"),
  policy("anchor"),
  policy("k_center"),
  // Its sketch is laid out with the slots, and read as they are only if all of them fit into the bytes.
  { name: "subgen, streamed", options: { policy: "subgen", prefill: "streaming", chunk: 16 }, draws: true },
  policy("cascading"),
  policy("zipvl:recent=16,random=16", true),
  beside("h2o", { victims: "mass_fold" }, "mass_fold"),
  beside("expected_attention", { victims: "mass_fold" }, "mass_fold"),
  beside("expected_attention", { budgetRule: "adakv" }, "adakv"),
  beside("reconstruction", { budgetRule: "adakv" }, "adakv"),
  beside(SNAPKV, { storage: "think" }, "think"),
  ...[
    policy("window"),
    policy("h2o"),
    policy("keyformer", true),
    policy(SNAPKV),
    policy("expected_attention"),
    policy("reconstruction"),
    policy("keydiff:recent=0.3"),
    policy("k_center"),
    policy("cascading"),
    beside("expected_attention", { victims: "mass_fold" }, "mass_fold"),
  ].map(fourBit),
];
