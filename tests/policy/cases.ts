/**
 * Random inputs for tests of properties: a prompt and steps of queries, keys and values, and how they are read.
 *
 * @module
 */
import fc from "fast-check";
import type { Heads, RigOptions } from "./rig.ts";

export const HEAD_DIM = 8;

/** Numbers that look normal, from a seed. */
export function heads(seed: number, nHeads: number, n: number, scale = 1): Heads {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const normal = () => uniform() + uniform() + uniform() + uniform() + uniform() + uniform() - 3;
  return Array.from(
    { length: nHeads },
    () => Array.from({ length: n }, () => Array.from({ length: HEAD_DIM }, () => scale * 1.4 * normal())),
  );
}

export const cases = fc.record({
  seed: fc.nat(),
  nKvHeads: fc.integer({ min: 1, max: 2 }),
  group: fc.integer({ min: 1, max: 3 }),
  prompt: fc.integer({ min: 1, max: 60 }),
  chunk: fc.integer({ min: 1, max: 24 }),
  steps: fc.integer({ min: 0, max: 20 }),
  budget: fc.integer({ min: 12, max: 70 }),
  recent: fc.integer({ min: 1, max: 8 }),
  sinks: fc.integer({ min: 0, max: 3 }),
  streaming: fc.boolean(),
});
export type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

export function input({ seed, nKvHeads, group, prompt, steps }: Case) {
  const n = prompt + steps;
  return {
    n,
    q: heads(seed, nKvHeads * group, n, 2),
    k: heads(seed + 1, nKvHeads, n),
    v: heads(seed + 2, nKvHeads, n),
  };
}

export function rigOptions(c: Case, policy: string): RigOptions {
  return {
    policy,
    budget: c.budget,
    nHeads: c.nKvHeads * c.group,
    nKvHeads: c.nKvHeads,
    headDim: HEAD_DIM,
    context: Math.max(16, c.prompt + c.steps),
    chunk: Math.min(c.chunk, c.prompt + c.steps),
    prefill: c.streaming ? "streaming" : "whole",
  };
}

/** A case of middle size. */
export const USUAL: Case = {
  seed: 1,
  nKvHeads: 1,
  group: 2,
  prompt: 24,
  chunk: 24,
  steps: 0,
  budget: 12,
  recent: 2,
  sinks: 0,
  streaming: false,
};

/** Budgets may be larger than the context of a small case. */
export const fits = (c: Case) => c.prompt + c.steps >= c.chunk;
