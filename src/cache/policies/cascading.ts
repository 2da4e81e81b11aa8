import { RING_WORDS } from "../../kernels/cascade_kernels.ts";
import type { PolicyEntry } from "./params.ts";

/**
 * A window that thins out towards the past: ring after ring, each takes every second token that the one before it gives
 * up, and of two tokens it keeps the one with more attention of late. The same slots so reach back (2^n - 1) / n times as
 * far as a window. A prompt is read in strides of one chunk.
 */
export const cascading: PolicyEntry = {
  name: "cascading",
  summary: "Keeps the first tokens and a cascade of rings, each half as dense as the one before it",
  source: "arXiv 2406.17808",
  cost:
    "4 bytes per slot and KV head, and 4 for its place; an exponential per query head and slot for every token",
  params: {
    buffers: {
      default: 4,
      help: "Rings, which share the budget; 4 for perplexity and 8 for recall in the paper",
      least: 1,
      most: RING_WORDS - 1,
      whole: true,
    },
    sinks: {
      default: 4,
      help: "First tokens of the text that always stay; 64 in the paper",
      least: 0,
      whole: true,
    },
    beta: { default: 0.9999, help: "Factor on all scores before each token's is added", least: 0, most: 1 },
  },
  create: (values) => {
    const [rings, sinks, beta] = ["buffers", "sinks", "beta"].map((name) => values.number(name));
    const size = (budget: number) => Math.floor((budget - sinks) / rings);
    return {
      name: "cascading",
      params: values.all,
      minBudget: sinks + rings,
      positions: "compact",
      scores: "kvHead",
      cascades: true,
      promptRows: "all",
      steps: true,
      observe: (layer) => layer.average({ beta, sinks }),
      reduce: (layer) => layer.cascade({ sinks, rings, size: size(layer.budget) }),
    };
  },
};
