/**
 * A text on its way through the model: what of it the cache holds, how far it is, and how more of it is read.
 *
 * @module
 */
import { CacheKeeper } from "../cache/cache_keeper.ts";
import { openCaches } from "../cache/cache_layout.ts";
import type { KvStorage } from "../cache/storage.ts";
import { CpuLimitError } from "../error.ts";
import { asKernelError } from "../kernels/kernels.ts";
import { pause } from "../turn.ts";
import { attention, embed, feedForward, type Part } from "./forward.ts";
import type { SequencePlan } from "./model_layout.ts";
import type { Shared } from "./shared.ts";
import { SparsePrefill } from "./sparse_prefill.ts";
import type { SparseSpace } from "./sparse_space.ts";

/** How a prompt is read. */
export interface PrefillOptions {
  /** Aborting it rejects with its reason. The tokens of chunks that were done stay. */
  readonly signal?: AbortSignal;
  /** Called after every chunk with the tokens done and wanted. */
  readonly onProgress?: (progress: { done: number; total: number }) => void;
}

/** The state of a sequence. It trusts its caller: `Sequence` checks ids, room and turns. */
export class RunningText {
  readonly shared: Shared;
  readonly plan: SequencePlan;
  readonly storage: KvStorage;
  /** None: everything stays. */
  readonly keeper: CacheKeeper | null;
  /** Its token among those of several texts, by its place there. */
  readonly stepParts: readonly Part[];
  /** Tokens read so far. */
  position = 0;
  /** The position that the logits are about; -1 where they are about none. */
  logitsAt = -1;
  #cpuWarned = false;
  /** Whether keys and values may be of other making than the kernels'. */
  #foreign = false;

  constructor(shared: Shared, plan: SequencePlan) {
    this.shared = shared;
    this.plan = plan;
    this.storage = openCaches(shared.caches, shared.network, plan.cache);
    this.keeper = shared.caches.policy === null ? null : new CacheKeeper(
      shared.network,
      plan.cache,
      { ...shared.caches, policy: shared.caches.policy },
      { scores: plan.scores, scratch: shared.policyScratch! },
    );
    this.stepParts = shared.stepRows.map((desk) => ({
      storage: this.storage,
      watcher: this.keeper,
      desk,
      nTokens: 1,
    }));
    this.reset();
  }

  /** Whether the cache has slots for a prompt of so many tokens. */
  hasSlots(nTokens: number): boolean {
    const atOnce = Math.min(nTokens, this.shared.prompt.workspace.nTokens);
    return this.keeper === null || this.keeper.free >= atOnce;
  }

  /** Whether the host has warned about CPU time since this was last asked. */
  takeCpuWarning(): boolean {
    this.holdCpuWarning();
    const warned = this.#cpuWarned;
    this.#cpuWarned = false;
    return warned;
  }

  /** Keeps a warning that has come for the request of this text, before that of another asks. */
  holdCpuWarning(): void {
    this.#cpuWarned ||= this.shared.network.kernels.takeCpuWarning();
  }

  /**
   * Takes `ids` through all layers, chunk by chunk, or layer by layer where prompts are read sparsely; `visit` sees the
   * finished rows of each chunk.
   *
   * @throws {CpuLimitError} When the host ends the request soon; the tokens of chunks that were done stay.
   */
  async read(
    ids: readonly number[],
    options: PrefillOptions,
    visit: (start: number, nTokens: number) => void | Promise<void>,
  ): Promise<void> {
    const { storage, keeper, shared: { sparse } } = this;
    const { signal, onProgress } = options;
    this.logitsAt = -1;
    try {
      await this.shared.promptTurns.run(async () => {
        const chunk = this.shared.prompt.workspace.nTokens;
        keeper?.openPrompt(this.position, ids.length);
        if (keeper !== null) storage.openPrompt?.(keeper.budgets);
        if (sparse !== null && this.position === 0) {
          return await this.#readSparsely(sparse, ids, options, visit);
        }
        for (let start = 0; start < ids.length; start += chunk) {
          signal?.throwIfAborted();
          const nTokens = Math.min(chunk, ids.length - start);
          keeper?.openChunk(nTokens);
          await this.#readChunk(ids, start, nTokens, signal);
          await visit(start, nTokens);
          this.position += nTokens;
          keeper?.closeChunk(this.position);
          const done = start + nTokens;
          storage.closeChunk?.(this.position, ids.length - done);
          onProgress?.({ done, total: ids.length });
          if (done < ids.length) this.#endIfWarned(done, ids.length);
        }
      }, signal);
    } catch (error) {
      // Layers may have taken tokens of the chunk that did not come to its end.
      this.truncate(this.position);
      throw asKernelError(error);
    }
  }

  async #readChunk(
    ids: readonly number[],
    start: number,
    nTokens: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { network, prompt } = this.shared;
    const { workspace } = prompt;
    for (let i = 0; i < nTokens; i++) {
      prompt.ids[i] = ids[start + i];
      prompt.positions[i] = this.position + i;
    }
    embed(network, workspace, nTokens);
    const parts = [{ storage: this.storage, watcher: this.keeper, desk: workspace, nTokens }];
    const turn = () => this.#turn(signal);
    for (let layer = 0; layer < network.hparams.nLayers; layer++) {
      attention(network, workspace, layer, nTokens, parts);
      await turn();
      feedForward(network, workspace, layer, nTokens);
      await turn();
    }
  }

  /** A first prompt, layer by layer: what a policy keeps is known before attention is computed. */
  async #readSparsely(
    space: SparseSpace,
    ids: readonly number[],
    { signal, onProgress }: PrefillOptions,
    visit: (start: number, nTokens: number) => void | Promise<void>,
  ): Promise<void> {
    const { storage, shared: { network, arena, prompt: desk } } = this;
    const keeper = this.keeper!;
    const { budgets, policy } = keeper;
    const total = ids.length;
    const turn = () => this.#turn(signal);
    const prompt = new SparsePrefill(
      { network, arena, desk, space, rule: policy.sparse!, storage, budgets, turn },
      ids,
    );
    for await (const done of prompt.layers()) {
      onProgress?.({ done: Math.floor(total * done), total });
      if (done < 1) this.#endIfWarned(0, total);
    }
    const chunk = desk.workspace.nTokens;
    for (let start = 0; start < total; start += chunk) {
      const nTokens = Math.min(chunk, total - start);
      prompt.show(start, nTokens);
      await visit(start, nTokens);
    }
    this.position = total;
    keeper.closeSparse();
  }

  /** Ends a prompt of which `done` tokens stay, if the host is about to. */
  #endIfWarned(done: number, total: number): void {
    if (!this.#cpuWarned) return;
    this.#cpuWarned = false;
    throw new CpuLimitError(done, total);
  }

  /** Asked before anything else has its turn, so that a warning about CPU time is about this request. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    this.holdCpuWarning();
    return pause(signal);
  }

  /** A token is about to pass all layers. */
  openStep(): void {
    this.keeper?.openStep(this.position);
    this.storage.openStep?.();
  }

  /** A token has passed all layers; its logits follow. */
  closeStep(): void {
    this.logitsAt = ++this.position;
    this.keeper?.closeStep(this.position);
    this.storage.closeStep?.(this.position);
  }

  /** Forgets all from `position` on. */
  truncate(position: number): void {
    const { kernels } = this.shared.network;
    for (const layer of this.plan.cache) kernels.cache.truncate(layer, position);
    this.keeper?.truncated();
    this.storage.truncated?.(position);
    this.position = position;
  }

  /** Forgets all, also what a snapshot has brought. */
  reset(): void {
    const { kernels } = this.shared.network;
    if (this.#foreign) this.#wipe();
    for (const layer of this.plan.cache) kernels.cache.reset(layer);
    this.keeper?.reset();
    this.storage.reset?.();
    this.position = 0;
  }

  /** Its memory is about to be written from a snapshot. */
  expectForeign(): void {
    this.#foreign = true;
  }

  /** Empty slots take part in sums with a factor of 0, which bytes that are no numbers would survive. */
  #wipe(): void {
    for (const { keys, values } of this.plan.cache) {
      for (const { offset, length } of [keys, values]) {
        this.shared.arena.bytes.fill(0, offset, offset + length);
      }
    }
    this.#foreign = false;
  }
}
