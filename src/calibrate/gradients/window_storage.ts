import type { AttentionDesk, AttentionRules, KvStorage } from "../../cache/storage.ts";
import { attendSlots } from "../../cache/storage/plain.ts";
import { ropeIndex } from "../../hparams.ts";
import { ROPE_STYLE } from "../../kernels/kernels.ts";
import type { Floats, LayerCache } from "../../memory/handles.ts";
import { copyFloats } from "./floats.ts";
import type { GradientSpace } from "./space.ts";

/**
 * Exact keys and values of a window, of one layer after the other in the same place. Keys come unrotated and are kept so;
 * then they and the queries turn where they lie, as the backward pass wants them.
 */
export class WindowStorage implements KvStorage {
  /** Told apart only by that keys come unrotated, where the model rotates. */
  readonly layers: readonly LayerCache[];

  constructor(private readonly rules: AttentionRules, private readonly space: GradientSpace) {
    const { hparams: { rope, windows } } = rules;
    const { cache, workspace: { ropeTables: [table] } } = space;
    const rotation = rope && { table, dims: rope.dims, style: ROPE_STYLE[rope.style] };
    this.layers = windows.map(() => ({ ...cache, rotation }));
  }

  append(layer: number, { q, k, v, positions }: AttentionDesk, n: number): void {
    const { rules, space: { keys, cache, workspace: { ropeTables } } } = this;
    copyFloats(rules.kernels.buffer, keys, k, k.length);
    rotate(rules, ropeTables, q, k, layer, n);
    rules.kernels.cache.reset(cache);
    rules.kernels.cache.append(cache, k, v, positions, n);
  }

  attend(layer: number, desk: AttentionDesk, first: number, n: number, scores: Floats | null): void {
    const { rules, space: { cache } } = this;
    attendSlots(rules, cache, desk, first, n, scores, rules.hparams.windows[layer]);
  }
}

/** Turns q [n, H, d] and k [n, G, d] of a layer by the tables of the model's one or two ropes, where it has any. */
export function rotate(
  { kernels, hparams }: AttentionRules,
  tables: readonly Floats[],
  q: Floats,
  k: Floats,
  layer: number,
  n: number,
): void {
  const { rope, nHeads, nKvHeads, headDim } = hparams;
  if (rope === undefined) return;
  const table = tables[ropeIndex(hparams, layer)];
  const style = ROPE_STYLE[rope.style];
  kernels.rope(q, table, n, nHeads, headDim, rope.dims, style);
  kernels.rope(k, table, n, nKvHeads, headDim, rope.dims, style);
}
