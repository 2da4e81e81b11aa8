/**
 * The systems that are compared at equal bytes, each by the options that make it. A policy's budget is filled in from the
 * bytes; a system without one takes what it takes.
 */
import type { PlanOptions } from "../../src/model/plan.ts";

export interface System {
  readonly name: string;
  readonly options: PlanOptions;
  /** Channels that its codebooks take together, which have to be learned first. */
  readonly channels?: number;
  /** Largest share at which anything is dropped. */
  readonly most?: number;
}

/** A policy on its own, with 8-bit keys and values. */
const policy = (name: string): System => ({ name, options: { policy: name } });

/** A policy with the 4-bit cache: twice the tokens in the same bytes, all of them in half of f16's. */
const fourBit = ({ name, options }: System): System => ({
  name: `${name} + q4_0`,
  options: { ...options, kvType: "q4_0" },
  most: 0.25,
});

/** A policy with another choice on one of the other axes. */
function beside(name: string, axes: PlanOptions, title: string): System {
  return { name: `${name} + ${title}`, options: { policy: name, ...axes } };
}

/** Vector quantisation: one byte for so many channels. */
const coupled = (channels: number): System => ({
  name: `full, cq ${8 / channels} bit`,
  options: { storage: `cq:channels=${channels}` },
  channels,
});

/** What the prompt's last queries choose. Windows are smaller than in the papers, to fit the small budgets of this bench. */
const SNAPKV = "snapkv:window=16";

export const SYSTEMS: readonly System[] = [
  { name: "full, f16", options: { kvType: "f16" } },
  { name: "full, q8_0", options: {} },
  { name: "full, quest", options: { read: "quest:tokens=0.25" } },
  { name: "full, squeezed", options: { read: "squeezed:rho=0.875" } },
  { name: "full, think", options: { storage: "think" } },
  { name: "full, kivi 4 bit", options: { storage: "kivi:bits=4" } },
  coupled(2),
  { name: "full, q4_0", options: { kvType: "q4_0" } },
  { name: "full, kivi 2 bit", options: { storage: "kivi:bits=2" } },
  coupled(4),
  coupled(8),
  policy("window"),
  policy("streaming_llm"),
  policy("random"),
  policy("h2o"),
  policy("keyformer"),
  policy("tova"),
  policy(SNAPKV),
  policy("pyramidkv:window=16"),
  policy("expected_attention"),
  policy("massfold:window=16,pool=5"),
  policy("reconstruction"),
  policy("elastic:distance=10"),
  policy("corm:window=32,recent=16"),
  policy("keydiff:recent=0.3"),
  policy("keydiff:recent=0.5"),
  policy("knorm:recent=0.3"),
  policy("sepllm"),
  policy("anchor"),
  policy("k_center"),
  // Its sketch is laid out with the slots, and read as they are only if all of them fit into the bytes.
  { name: "subgen, streamed", options: { policy: "subgen", prefill: "streaming", chunk: 16 } },
  policy("cascading"),
  policy("zipvl:recent=16,random=16"),
  beside("h2o", { victims: "mass_fold" }, "mass_fold"),
  beside("expected_attention", { victims: "mass_fold" }, "mass_fold"),
  beside("expected_attention", { budgetRule: "adakv" }, "adakv"),
  beside("reconstruction", { budgetRule: "adakv" }, "adakv"),
  beside("h2o", { storage: "think" }, "think"),
  beside(SNAPKV, { storage: "think" }, "think"),
  ...[
    policy("window"),
    policy("h2o"),
    policy("keyformer"),
    policy(SNAPKV),
    policy("expected_attention"),
    policy("reconstruction"),
    beside("reconstruction", { budgetRule: "adakv" }, "adakv"),
    policy("keydiff:recent=0.3"),
    policy("keydiff:recent=0.5"),
    policy("k_center"),
    policy("cascading"),
    beside("expected_attention", { victims: "mass_fold" }, "mass_fold"),
  ].map(fourBit),
];
