/**
 * A prompt in which attention is computed of and over the tokens alone that matter, layer by layer:
 *
 *     for each layer:
 *       K, V of all tokens;  Q of the probes                             -> how much attention each token gets
 *       T = the fewest tokens with a share tau of it, and the last one
 *       x[T] += W_o · attend(Q[T], K[T], V[T])                           all other rows pass by
 *       x += feed-forward of x                                           of all tokens
 *
 * Of T alone queries and products with W_q and W_o are computed, unless a policy wants all rows over K[T]. K and V of
 * the layer at work lie in room that all layers share; a sequence's own cache gets those of T, or of all tokens, where
 * others are stored in fewer bits.
 * Source: ZipVL, arXiv 2410.08584, Algorithm 1.
 *
 * @module
 */
import type { SparseRule } from "../cache/policy.ts";
import { attendSlots } from "../cache/storage/plain.ts";
import type { KvStorage } from "../cache/storage.ts";
import { headSlots } from "../kernels/head_slots.ts";
import type { Probes } from "../kernels/mass_kernels.ts";
import type { Arena } from "../memory/arena.ts";
import {
  attention,
  attentionInput,
  embed,
  feedForward,
  keysAndValues,
  type Network,
  queries,
  rotaryTables,
  rotate,
} from "./forward.ts";
import type { Desk } from "./shared.ts";
import type { SparseSpace } from "./sparse_space.ts";

/** What a prompt is read with. */
export interface SparseReading {
  readonly network: Network;
  readonly arena: Arena;
  readonly desk: Desk;
  readonly space: SparseSpace;
  readonly rule: SparseRule;
  /** The empty caches of the sequence. */
  readonly storage: KvStorage;
  /** Most tokens of each layer that may matter. */
  readonly budgets: readonly number[];
  /** Gives others their turn, between two operations. */
  readonly turn: () => Promise<void>;
}

/** Reads a prompt into an empty sequence. */
export class SparsePrefill {
  readonly #reading: SparseReading;
  readonly #ids: readonly number[];
  readonly #probes: Probes;
  /** Positions in the slots of the first KV head: all hold the same. */
  readonly #slots: Uint32Array;
  #probeRows: readonly number[] = [];

  constructor(reading: SparseReading, ids: readonly number[]) {
    const { network: { kernels }, space: { cache }, rule: { rows: { recent, random, seed } } } = reading;
    this.#reading = reading;
    this.#ids = ids;
    const end = ids.length;
    const from = Math.max(0, end - recent);
    this.#probes = { start: 0, end, from, share: from > 0 ? random / from : 0, seed };
    this.#slots = headSlots(kernels.buffer, cache, 0).positions;
  }

  /** Takes all tokens through all layers; yields how much is done, up to 1. */
  async *layers(): AsyncGenerator<number> {
    const { network, desk: { workspace: ws }, space: { cache }, rule } = this.#reading;
    const { kernels, hparams: { nLayers } } = network;
    const all = [...this.#ids.keys()];
    await this.#pass(all, (n) => embed(network, ws, n), { reads: false });
    for (let layer = 0; layer < nLayers; layer++) {
      kernels.cache.reset(cache);
      await this.#pass(all, (n) => {
        if (layer > 0) feedForward(network, ws, layer - 1, n);
        this.#project(layer, n);
        kernels.cache.append(cache, ws.k, ws.v, ws.positions, n);
      });
      const matter = await this.#choose(layer);
      // Otherwise what is stored is what passes through attention.
      const apart = rule.demotes || rule.allRows;
      if (apart) await this.#store(layer, rule.demotes ? all : matter);
      // Attention passes over empty slots too.
      kernels.cache.compact(cache);
      const storage = this.#over(apart);
      await this.#pass(rule.allRows ? all : matter, (n) => {
        attention(network, ws, layer, n, [{ storage, watcher: null, desk: ws, nTokens: n }]);
      });
      if (layer < nLayers - 1) yield (layer + 1) / nLayers;
    }
    await this.#pass(all, (n) => feedForward(network, ws, nLayers - 1, n));
    yield 1;
  }

  /** Puts the `n` finished rows from `start` on where those of a chunk lie. */
  show(start: number, n: number): void {
    this.#move(Array.from({ length: n }, (_, i) => start + i), "in");
  }

  /** Takes rows of x through `visit`, as many at once as there is room for. */
  async #pass(
    rows: readonly number[],
    visit: (n: number, first: number) => void,
    { reads = true, writes = true } = {},
  ): Promise<void> {
    const { network, desk: { workspace, ids, positions }, turn } = this.#reading;
    for (let first = 0; first < rows.length; first += workspace.nTokens) {
      const part = rows.slice(first, first + workspace.nTokens);
      part.forEach((row, i) => [ids[i], positions[i]] = [this.#ids[row], row]);
      if (reads) {
        this.#move(part, "in");
        rotaryTables(network, workspace, part.length);
      }
      visit(part.length, first);
      if (writes) this.#move(part, "out");
      await turn();
    }
  }

  /** Moves rows of x between where they stay and the workspace; neighbours go together. */
  #move(rows: readonly number[], way: "in" | "out"): void {
    const { arena: { bytes }, space, desk: { workspace }, network: { hparams: { dim } } } = this.#reading;
    for (let i = 0, n = 1; i < rows.length; i += n, n = 1) {
      while (i + n < rows.length && rows[i + n] === rows[i] + n) n++;
      const [there, here] = [space.x.offset + 4 * dim * rows[i], workspace.x.offset + 4 * dim * i];
      if (way === "in") bytes.copyWithin(here, there, there + 4 * dim * n);
      else bytes.copyWithin(there, here, here + 4 * dim * n);
    }
  }

  /** k and v of the rows in the workspace. */
  #project(layer: number, n: number): void {
    const { network, desk: { workspace: ws } } = this.#reading;
    attentionInput(network, ws, layer, n);
    keysAndValues(network, ws, layer, n);
    rotate(network, ws, layer, ws.k, n, network.hparams.nKvHeads);
  }

  /** Finds the tokens that matter, and empties the slots of all others. */
  async #choose(layer: number): Promise<number[]> {
    const { network, desk: { workspace: ws }, space: { cache, mass, tile }, rule, budgets } = this.#reading;
    const { kernels, hparams: { nHeads } } = network;
    if (layer === 0) this.#probeRows = this.#draw();
    kernels.policy.forget(mass, cache);
    await this.#pass(this.#probeRows, (n) => {
      attentionInput(network, ws, layer, n);
      queries(network, ws, layer, n);
      rotate(network, ws, layer, ws.q, n, nHeads);
      for (let row = 0; row < n; row += tile) this.#look(layer, row, Math.min(tile, n - row));
    }, { writes: false });
    const { end } = this.#probes;
    const reach = kernels.mass.count(mass, cache, this.#probes, { tau: rule.tau, first: 0, held: true });
    kernels.policy.select(cache, mass, 1, Math.min(reach, budgets[layer]), 0, end - 1, false);
    // Nothing has moved: a token's slot is its position.
    return Array.from(this.#slots.subarray(0, end)).filter((position, slot) => position === slot);
  }

  /** The rows of the probes: the latest, and those whose draw is low. */
  #draw(): number[] {
    const { network: { kernels }, arena, space: { cache, logits } } = this.#reading;
    const { from, share, seed } = this.#probes;
    kernels.policy.randomise(logits, cache, seed, 0);
    const draws = arena.floats(logits);
    return [...this.#ids.keys()].filter((row) => row >= from || draws[row] < share);
  }

  /** Adds the attention of `n` probes in the workspace, from `row` on. */
  #look(layer: number, row: number, n: number): void {
    const { network, desk: { workspace: ws }, space: { cache, mass, logits } } = this.#reading;
    const { kernels, hparams: { windows, nHeads } } = network;
    attendSlots(network, cache, ws, row, n, logits, windows[layer]);
    kernels.mass.observe(mass, logits, cache, ws.positions, row, n, nHeads, this.#probes);
  }

  /** Stores tokens in the sequence's own cache; where others are demoted, those that matter in more bits. */
  async #store(layer: number, rows: readonly number[]): Promise<void> {
    const { network: { kernels }, desk: { workspace: ws }, storage, space, rule } = this.#reading;
    const own = storage.layers[layer];
    if (rule.demotes) kernels.codec.choose(own, space.cache.slots);
    await this.#pass(rows, (n, first) => {
      this.#project(layer, n);
      storage.append(layer, ws, n);
      if (rule.demotes) kernels.codec.flush(own.codec!, first + n);
    }, { writes: false });
  }

  /** Attention over what of the prompt matters, which the sequence's own cache takes unless it `has` it. */
  #over(has: boolean): KvStorage {
    const { network, storage, space: { cache } } = this.#reading;
    return {
      layers: storage.layers,
      append: (layer, desk, n) => has ? undefined : storage.append(layer, desk, n),
      attend: (layer, desk, first, n, scores) =>
        attendSlots(network, cache, desk, first, n, scores, network.hparams.windows[layer]),
    };
  }
}
