/**
 * What policies need in memory beside the slots: scores, biases and statistics of each sequence, and room to work in.
 *
 * @module
 */
import type { Hparams } from "../hparams.ts";
import { RING_WORDS } from "../kernels/cascade_kernels.ts";
import { headWords } from "../kernels/head_slots.ts";
import { statistics } from "../kernels/stored_kernels.ts";
import type { Floats, LayerCache, Layout, Words } from "../memory/handles.ts";
import type { Policy } from "./policy.ts";

/** What of a cache's plan decides what its policy needs. */
interface Planned {
  readonly policy: Policy | null;
  readonly nHeads: number;
  readonly capacities: readonly number[];
  readonly scoreRows: number;
  readonly tile: number;
}

/** Rows of logits that wait to be observed take at most this, so that they stay in a cache of the processor. */
const TILE_BYTES = 2 ** 20;
const MAX_TILE = 16;

/** Tokens whose rows `[H, capacity]` of logits are observed together at most. */
export function fittingRows(nHeads: number, capacity: number): number {
  return Math.max(1, Math.min(MAX_TILE, Math.floor(TILE_BYTES / (4 * nHeads * capacity))));
}

/** Room that sequences share. */
export interface PolicyScratch {
  /** Weights `[H, tile, capacity]` on their way to become scores, or scores `[G, capacity]` for one choice only. */
  readonly logits: Floats;
  /** Sums `[H, capacity]` over the tokens read at once, where scores are moving averages. */
  readonly gathered: Floats | null;
  /** Slots of a layer before some are emptied, where victims join others. */
  readonly before: Words | null;
  /** For scores of queries to come: one row, and a rotation by each of the model's ropes. */
  readonly room: Floats | null;
  readonly meanRotations: readonly Floats[];
}

/** Where scores lie. */
export interface PolicySpace {
  /** `[scoreRows, capacity]` of each layer, all the same one where a policy shares it; none without scores. */
  readonly scores: readonly Floats[];
  readonly scratch: PolicyScratch;
}

/** Lays out the scores of one sequence. */
export function layScores(plan: Omit<Planned, "nHeads" | "tile">, policy: Layout): readonly Floats[] {
  if (plan.scoreRows === 0) return [];
  const shared = plan.policy?.shared ? policy.floats(plan.scoreRows * plan.capacities[0]) : undefined;
  return plan.capacities.map((capacity) => shared ?? policy.floats(plan.scoreRows * capacity));
}

/** Lays out what a policy keeps for each layer of one sequence beside scores: biases, statistics of queries. */
export function layPolicyState(
  { policy, nHeads }: Pick<Planned, "policy" | "nHeads">,
  layers: readonly LayerCache[],
  layout: Layout,
): readonly LayerCache[] {
  const [folds, counts] = [policy?.victims === "mass_fold", policy?.queries !== undefined];
  const cascades = policy?.cascades ?? false;
  if (!folds && !counts && !cascades) return layers;
  return layers.map((layer) => {
    const { nKvHeads, capacity, keyDim, state } = layer;
    const own = {
      ...(folds && { bias: layout.floats(nKvHeads * capacity) }),
      ...(cascades && { rings: layout.words(nKvHeads * RING_WORDS) }),
      ...(counts && { queries: layout.floats(nHeads * statistics(keyDim)) }),
    };
    return Object.freeze({ ...layer, ...own, state: { ...state, ...own } });
  });
}

/** Lays out what observing and choosing need, once for all sequences. */
export function layScratch(
  { policy, capacities, tile }: Planned,
  { nHeads, nKvHeads, rope, localRope }: Hparams,
  activations: Layout,
): PolicyScratch | null {
  if (policy === null) return null;
  const capacity = Math.max(...capacities);
  const joins = (policy.victims ?? "drop") !== "drop";
  const ropes = policy.queries === undefined && policy.echo === undefined ? [] : [rope, localRope];
  return {
    logits: activations.floats(capacity * (policy.observe === undefined ? nKvHeads : nHeads * tile)),
    gathered: policy.cascades ? activations.floats(nHeads * capacity) : null,
    before: joins ? activations.words(nKvHeads * headWords(capacity)) : null,
    room: policy.queries === undefined ? null : activations.floats(capacity),
    meanRotations: ropes.filter((rope) => rope !== undefined).map(({ dims }) => activations.floats(dims)),
  };
}
