/**
 * A text on its way through the model: what of it the cache holds, how far it is, and how more of it is read.
 *
 * @module
 */
import { CacheKeeper } from "../cache/cache_keeper.ts";
import { openCaches } from "../cache/cache_plan.ts";
import type { KvStorage } from "../cache/storage.ts";
import { CpuLimitError } from "../error.ts";
import { asKernelError } from "../kernels/kernels.ts";
import { pause } from "../turn.ts";
import { attention, embed, feedForward, type Part } from "./forward.ts";
import type { SequencePlan } from "./plan.ts";
import type { Shared } from "./shared.ts";

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
    const warned = this.#cpuWarned || this.shared.network.kernels.takeCpuWarning();
    this.#cpuWarned = false;
    return warned;
  }

  /**
   * Takes `ids` through all layers, chunk by chunk; `visit` sees the finished rows of each chunk.
   *
   * @throws {CpuLimitError} When the host ends the request soon; the tokens of chunks that were done stay.
   */
  async read(
    ids: readonly number[],
    signal: AbortSignal | undefined,
    visit: (start: number, nTokens: number) => void | Promise<void>,
  ): Promise<void> {
    const { storage, keeper } = this;
    try {
      await this.shared.promptTurns.run(async () => {
        const chunk = this.shared.prompt.workspace.nTokens;
        keeper?.openPrompt(this.position, ids.length);
        if (keeper !== null) storage.openPrompt?.(keeper.budgets);
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
          if (this.#cpuWarned && done < ids.length) {
            this.#cpuWarned = false;
            throw new CpuLimitError(done, ids.length);
          }
        }
      });
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
    // Asked before anything else has its turn, so that the warning is about this request.
    const turn = () => {
      this.#cpuWarned ||= network.kernels.takeCpuWarning();
      return pause(signal);
    };
    for (let layer = 0; layer < network.hparams.nLayers; layer++) {
      attention(network, workspace, layer, nTokens, parts);
      await turn();
      feedForward(network, workspace, layer, nTokens);
      await turn();
    }
  }

  /** A token is about to pass all layers. */
  openStep(): void {
    this.keeper?.openStep();
    this.storage.openStep?.();
  }

  /** A token has passed all layers. */
  closeStep(): void {
    this.position++;
    this.keeper?.closeStep(this.position);
    this.storage.closeStep?.(this.position);
  }

  /** Forgets all from `position` on. */
  truncate(position: number): void {
    const { kernels } = this.shared.network;
    for (const layer of this.plan.cache) kernels.kvTruncate(layer, position);
    this.keeper?.truncated();
    this.storage.truncated?.(position);
    this.position = position;
  }

  /** Forgets all, also what a snapshot has brought. */
  reset(): void {
    const { kernels } = this.shared.network;
    if (this.#foreign) this.#wipe();
    for (const layer of this.plan.cache) kernels.kvReset(layer);
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
