/**
 * Snapshots of one sequence: where its state lies, and how it is taken back.
 *
 * @module
 */
import { cacheSections, logits } from "../snapshot/cache_sections.ts";
import { readKeeperState } from "../snapshot/keeper_state.ts";
import type { Incoming, Restored } from "../snapshot/read.ts";
import type { Section, SequenceState } from "../snapshot/section.ts";
import { type Chunks, restoreBytes, restoreChunks } from "../snapshot/snapshot.ts";
import { openSnapshot, type Outgoing } from "../snapshot/write.ts";
import type { RunningText } from "./running_text.ts";

/** Saves and restores a text; `more` sections go along with those of the cache. */
export class SequenceSnapshots {
  readonly #text: RunningText;

  constructor(text: RunningText) {
    this.#text = text;
  }

  save(more: readonly Section[]): Outgoing {
    const { shared, keeper, storage, position } = this.#text;
    const state = this.#state(position);
    const sections = [...cacheSections(state), ...more];
    return openSnapshot(state, shared.binding(), keeper?.state() ?? null, storage.save?.() ?? null, sections);
  }

  /** @throws {SnapshotError} When the bytes are damaged or belong to something else; nothing has changed then. */
  restore(snapshot: Uint8Array, more: readonly Section[]): void {
    const text = this.#text;
    let resume = () => {};
    const { position } = restoreBytes(this.#incoming(more), snapshot, (checked) => {
      resume = this.#resume(checked);
      text.reset();
      text.expectForeign();
    });
    this.#take(position, more);
    resume();
  }

  /** @throws {SnapshotError} As `restore` does; the text is empty then. */
  async restoreFrom(chunks: Chunks, more: readonly Section[]): Promise<void> {
    const text = this.#text;
    text.expectForeign();
    try {
      const restored = await restoreChunks(this.#incoming(more), chunks);
      this.#resume(restored)();
      this.#take(restored.position, more);
    } catch (error) {
      text.reset();
      throw error;
    }
  }

  /** Where the text goes on, and whether logits have come for that. */
  #take(position: number, more: readonly Section[]): void {
    this.#text.position = position;
    this.#text.logitsAt = position > 0 && more.includes(logits) ? position : -1;
  }

  /** What a snapshot with the same sections is restored to. */
  #incoming(more: readonly Section[]): Incoming {
    const { shared } = this.#text;
    return {
      state: (position) => this.#state(position),
      binding: shared.binding(),
      context: shared.context,
      sections: [...cacheSections(this.#state(0)), ...more],
    };
  }

  /** Checks what lies beside memory; what is returned lets the cache go on from there. */
  #resume(restored: Restored): () => void {
    const { shared, keeper, storage } = this.#text;
    const state = readKeeperState(restored.keeper, shared.caches);
    const resume = storage.restore?.(restored.storage);
    return () => {
      if (state !== null) keeper!.resume(state);
      resume?.();
    };
  }

  #state(position: number): SequenceState {
    const { shared: { arena, caches, network: { hparams } }, plan: { cache, scores, logits } } = this.#text;
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
