/**
 * Where the state of a sequence lies, for its snapshots.
 *
 * @module
 */
import type { CacheKeeper } from "../cache/cache_keeper.ts";
import type { KvStorage } from "../cache/storage.ts";
import { cacheSections } from "../snapshot/cache_sections.ts";
import { readKeeperState } from "../snapshot/keeper_state.ts";
import type { Incoming, Restored } from "../snapshot/read.ts";
import type { Section, SequenceState } from "../snapshot/section.ts";
import { openSnapshot, type Outgoing } from "../snapshot/write.ts";
import type { SequencePlan } from "./plan.ts";
import type { Shared } from "./shared.ts";

/** Snapshots of one sequence. */
export class SequenceSnapshots {
  readonly #shared: Shared;
  readonly #plan: SequencePlan;
  readonly #keeper: CacheKeeper | null;
  readonly #storage: KvStorage;
  /** Whether keys and values are of other making than the kernels'. */
  #foreign = false;

  constructor(shared: Shared, plan: SequencePlan, keeper: CacheKeeper | null, storage: KvStorage) {
    this.#shared = shared;
    this.#plan = plan;
    this.#keeper = keeper;
    this.#storage = storage;
  }

  /** A snapshot of the cache, whose text has `position` tokens, and of what `more` there is. */
  save(position: number, more: readonly Section[]): Outgoing {
    const state = this.#state(position);
    const sections = [...cacheSections(state), ...more];
    const keeper = this.#keeper?.state() ?? null;
    return openSnapshot(state, this.#shared.binding(), keeper, this.#storage.save?.() ?? null, sections);
  }

  /** What a snapshot with the same sections is restored to. */
  incoming(more: readonly Section[]): Incoming {
    return {
      state: (position) => this.#state(position),
      binding: this.#shared.binding(),
      context: this.#shared.context,
      sections: [...cacheSections(this.#state(0)), ...more],
    };
  }

  /** Checks what lies beside memory; what is returned lets the cache go on from there. */
  resume({ keeper, storage }: Restored): () => void {
    const state = readKeeperState(keeper, this.#shared.caches);
    const resume = this.#storage.restore?.(storage);
    return () => {
      if (state !== null) this.#keeper!.resume(state);
      resume?.();
    };
  }

  /** Memory is about to be written from a snapshot. */
  begin(): void {
    this.#foreign = true;
  }

  /**
   * Leaves nothing of a snapshot behind. Empty slots take part in sums with a factor of 0, which bytes that are no
   * numbers would survive.
   */
  wipe(): void {
    if (!this.#foreign) return;
    for (const { keys, values } of this.#plan.cache) {
      for (const { offset, length } of [keys, values]) {
        this.#shared.arena.bytes.fill(0, offset, offset + length);
      }
    }
    this.#foreign = false;
  }

  #state(position: number): SequenceState {
    const { arena, caches, network: { hparams } } = this.#shared;
    const { cache, scores, logits } = this.#plan;
    return {
      memory: arena.bytes,
      cache,
      scores,
      logits: { ...logits, length: hparams.nVocab },
      plan: caches,
      position,
    };
  }
}
