/**
 * What every system promises, in one table: tests of properties and of snapshots go through it, and `contracts_test.ts`
 * fails when something that can be named has no row.
 *
 * @module
 */
import type { Calibration } from "../../src/cache/calibration.ts";
import type { CacheOptions } from "../../src/cache/cache_plan.ts";

/** A system, by its policy and `options` beside it, and its promises. */
export interface Contract {
  readonly policy: string;
  readonly options?: CacheOptions;
  /** Latest and first tokens that stay in any case. */
  readonly recent?: number;
  readonly sinks?: number;
  /** Slots of a KV head beyond the budget after a number of steps. */
  readonly beyond?: (step: number) => number;
  /** The budget is that of a layer's heads together. */
  readonly pooled?: boolean;
  /** The budget is that of the layers together. */
  readonly layered?: boolean;
  /** All heads and layers keep the same. */
  readonly alike?: boolean;
  /**
   * With which options a budget of the whole text gives the same bits as no policy: by default its own. `null`: none,
   * since the text decides what stays, or keys and values are stored in other numbers.
   */
  readonly whole?: CacheOptions | null;
  /** How far the two binaries may be apart, relative. Default 1e-4. */
  readonly close?: number;
  /** What a snapshot takes beside, in the bundled model; `null`: a test of its own saves it. */
  readonly saved?: CacheOptions | null;
}

/** Acts at the end of a prompt only: what is written after it stays. */
const atPrompt = { beyond: (step: number) => step };

/** Codebooks of so many layers and KV heads, the same in every run. */
export function someBooks(nLayers: number, nKvHeads: number, dim: number): Calibration {
  const centres = 16;
  const length = nLayers * nKvHeads * 2 * dim * centres;
  return {
    model: "",
    weights: "",
    nLayers,
    nKvHeads,
    headDim: dim,
    valueDim: dim,
    channels: 4,
    centres,
    books: Float32Array.from({ length }, (_, i) => 2 * Math.sin(i * i + 1)),
  };
}

export const CONTRACTS: readonly Contract[] = [
  { policy: "full", alike: true },
  { policy: "window", recent: 4, alike: true },
  { policy: "streaming_llm", recent: 4, sinks: 4, alike: true },
  { policy: "cascading:buffers=2", recent: 4, sinks: 4 },
  { policy: "h2o:recent=4", recent: 4 },
  { policy: "h2o:recent=4,sinks=2", options: { budgetRule: "adakv" }, recent: 4, sinks: 2, pooled: true },
  { policy: "h2o:recent=4", options: { victims: "mass_fold" }, recent: 4 },
  { policy: "h2o:recent=4", options: { budgetRule: "threshold:least=0.3" }, recent: 4, whole: null },
  { policy: "h2o:recent=4", options: { budgetRule: "mass:tau=0.6" }, recent: 4, whole: null },
  { policy: "keyformer:recent=4", recent: 4 },
  { policy: "keyformer:recent=4,noise=gaussian,queries=last", recent: 4 },
  { policy: "keyformer:recent=4,score=shared", recent: 4 },
  { policy: "keyformer:recent=4,every=4", recent: 4, beyond: () => 3 },
  {
    policy: "keyformer:recent=4",
    options: { budgetRule: "adakv:cap=1.5", victims: "mass_fold" },
    recent: 4,
    pooled: true,
  },
  { policy: "tova", alike: true },
  { policy: "snapkv:window=4,reserve=128", recent: 4, ...atPrompt },
  { policy: "pyramidkv:window=4,reserve=128,beta=4", recent: 4, ...atPrompt, layered: true },
  { policy: "massfold:window=4,reserve=128", recent: 4, ...atPrompt },
  { policy: "expected_attention:future=16,reserve=128", sinks: 4, ...atPrompt },
  {
    policy: "expected_attention:future=16,reserve=128",
    options: { budgetRule: "adakv", victims: "mass_fold" },
    sinks: 4,
    ...atPrompt,
    pooled: true,
  },
  { policy: "reconstruction:reserve=128", sinks: 4, ...atPrompt },
  { policy: "elastic:distance=4", sinks: 1, recent: 1, alike: true },
  { policy: "corm:window=100,recent=4", recent: 4 },
  { policy: "corm:window=6,recent=4,sinks=2", recent: 4, sinks: 2, whole: null },
  { policy: "keydiff" },
  { policy: "keydiff:recent=4,sinks=1", options: { budgetRule: "adakv" }, recent: 4, sinks: 1, pooled: true },
  { policy: "knorm:recent=4", recent: 4 },
  { policy: "sepllm:sinks=2,recent=4,separators=3", recent: 4, sinks: 2, alike: true },
  { policy: "anchor", recent: 1, alike: true, whole: null },
  { policy: "k_center:recent=4,reserve=128", recent: 4, ...atPrompt },
  { policy: "subgen", recent: 4, alike: true },
  { policy: "subgen:form=sample,clusters=20", recent: 4, alike: true },
  {
    policy: "zipvl:tau=0.9,recent=4,random=4,reserve=128",
    recent: 1,
    ...atPrompt,
    alike: true,
    whole: null,
  },
  {
    policy: "zipvl:others=demote,tau=0.9,recent=4,random=4,block=8",
    options: { prefill: "streaming" },
    beyond: () => Infinity,
    alike: true,
    whole: null,
  },
  { policy: "random:recent=4", recent: 4 },
  {
    policy: "full",
    options: { read: "quest:tokens=16,page=8,dense=0" },
    alike: true,
    whole: { read: "quest:tokens=1000,page=8" },
  },
  // Until a prefix is squeezed everything is read.
  { policy: "full", options: { read: "squeezed:window=8" }, alike: true, saved: null },
  {
    policy: "snapkv:window=4,reserve=128",
    options: { storage: "kivi:bits=4,group=8,channels=8,recent=8", prefill: "whole" },
    recent: 4,
    ...atPrompt,
    whole: null,
  },
  {
    policy: "h2o:recent=4",
    options: { storage: "think:prune=0.5,window=8" },
    recent: 4,
    whole: null,
  },
  {
    policy: "window",
    options: { storage: "cq:channels=4,recent=8", calibration: someBooks(1, 1, 8) },
    recent: 4,
    alike: true,
    whole: null,
    saved: null,
  },
];

/** A contract's name in a test. */
export function nameOf({ policy, options = {} }: Contract): string {
  const { calibration: _, ...axes } = options;
  return [policy, ...Object.values(axes)].join(", ");
}
