/**
 * Where a token stands for attention: at its place in the text, or, in caches with gaps, at its place among the tokens
 * that its KV head still holds. Compact positions never pass the capacity of the cache, so that a text may be longer than
 * any that the model was trained on. Keys are then stored as they come from the weights, and rotated when they are read.
 * Source: StreamingLLM, arXiv 2309.17453 §3.2; ablation in Keyformer, arXiv 2403.09054 §4.4.2.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { type Hparams, type Rope, ropeIndex } from "../hparams.ts";
import { type Kernels, ROPE_STYLE } from "../kernels/kernels.ts";
import type { Floats, LayerCache, Layout, Rotation, Words } from "../memory/handles.ts";
import type { Policy } from "./policy.ts";
import type { ReadPlan, StoragePlan } from "./storage.ts";

/** Which position a token has in the cache. */
export type Positions = "original" | "compact";

/**
 * The positions to use: as asked, or as the policy would have it where the model and the other axes allow.
 *
 * @throws {OptionError} When positions are asked for that make no sense.
 */
export function readPositions(
  asked: string | undefined,
  hparams: Hparams,
  policy: Policy | null,
  storage: StoragePlan,
  read: ReadPlan | null,
): Positions {
  if (asked !== undefined && asked !== "original" && asked !== "compact") {
    throw new OptionError("positions", asked, "original or compact");
  }
  if (policy?.cascades && storage.name !== "plain") {
    throw new OptionError("storage", storage.name, `plain, in which ${policy.name} can move tokens`);
  }
  const why = whyOriginal(hparams, policy, storage, read);
  if (asked === "compact" && why !== null) throw new OptionError("positions", asked, `original: ${why}`);
  const wanted = asked ?? policy?.positions ?? "original";
  if (policy?.cascades && wanted === "original" && hparams.positions === "alibi") {
    throw new OptionError("positions", wanted, `compact: ${policy.name} takes distances in the cache`);
  }
  return why === null ? wanted : "original";
}

/** What is in the way of compact positions. */
function whyOriginal(
  { positions }: Hparams,
  policy: Policy | null,
  storage: StoragePlan,
  read: ReadPlan | null,
): string | null {
  if (positions === "learned") return "learned positions are part of what is stored";
  if (positions === "none") return "the model has no positions";
  if (storage.name !== "plain") return `${storage.name} codes keys where their token stood`;
  if (read !== null) return `the index of ${read.name} is made of keys where their token stood`;
  if (policy?.queries !== undefined || policy?.echo !== undefined) {
    return `${policy.name} expects queries at positions of the text`;
  }
  return null;
}

/** What of a plan rotation depends on. */
interface Turned {
  readonly positions: Positions;
  readonly storage: StoragePlan;
  readonly capacities: readonly number[];
}

/**
 * Lays out the rotary tables of caches whose keys are rotated when they are read, by layer; none for others.
 *
 * @param context Tokens that a sequence can have.
 */
export function layRotations(
  { positions, storage, capacities }: Turned,
  hparams: Hparams,
  context: number,
  tables: Layout,
): readonly Rotation[] {
  const { rope, localRope, windows } = hparams;
  if (rope === undefined || positions === "original" && !storage.unrotated) return [];
  const rows = positions === "compact" ? Math.max(...capacities) : context;
  const lay = ({ dims, style }: Rope) =>
    Object.freeze({ table: tables.floats(rows * dims), dims, style: ROPE_STYLE[style] });
  const rotations = localRope === undefined ? [lay(rope)] : [lay(rope), lay(localRope)];
  return windows.map((_, layer) => rotations[ropeIndex(hparams, layer)]);
}

/** The caches of one sequence with what their positions ask for. */
export function layPositions(
  { positions, policy }: { readonly positions: Positions; readonly policy: Policy | null },
  layers: readonly LayerCache[],
  rotations: readonly Rotation[],
  slots: Layout,
): readonly LayerCache[] {
  // A cascade goes by the order of tokens, wherever they stand.
  const ranked = positions === "compact" || policy?.cascades;
  if (!ranked && rotations.length === 0) return layers;
  return layers.map((layer, i): LayerCache => {
    const turned = { ...layer, ...(rotations.length > 0 && { rotation: rotations[i] }) };
    if (!ranked) return Object.freeze(turned);
    const ranks = slots.words(layer.nKvHeads * layer.capacity);
    return Object.freeze({ ...turned, ranks, state: { ...layer.state, ranks } });
  });
}

/**
 * Fills the rotary tables, once after loading.
 *
 * @param frequencies Of the model's one or two ropes.
 * @param positions Room for some positions.
 */
export function writeRotations(
  kernels: Kernels,
  hparams: Hparams,
  rotations: readonly Rotation[],
  frequencies: readonly Floats[],
  positions: Words,
): void {
  const room = new Uint32Array(kernels.buffer, positions.offset, positions.length);
  for (const rotation of new Set(rotations)) {
    const which = ropeIndex(hparams, rotations.indexOf(rotation));
    const { magnitude } = [hparams.rope, hparams.localRope][which]!;
    const { table: { offset, length }, dims } = rotation;
    const rows = length / dims;
    for (let row = 0; row < rows; row += room.length) {
      const n = Math.min(room.length, rows - row);
      for (let i = 0; i < n; i++) room[i] = row + i;
      const piece = { kind: "f32" as const, offset: offset + 4 * row * dims, length: n * dims };
      kernels.ropeTable(piece, positions, frequencies[which], n, magnitude);
    }
  }
}
