import type { Floats, LayerCache } from "../../memory/handles.ts";
import type { AttentionDesk, AttentionRules, KvStorage } from "../storage.ts";

/** Passes everything on to the storage that it wraps; readers change what they have to. */
export class PassingReader implements KvStorage {
  readonly layers: readonly LayerCache[];

  constructor(protected readonly rules: AttentionRules, protected readonly storage: KvStorage) {
    this.layers = storage.layers;
  }

  openPrompt(budgets: readonly number[]): void {
    this.storage.openPrompt?.(budgets);
  }

  openStep(): void {
    this.storage.openStep?.();
  }

  append(layer: number, desk: AttentionDesk, n: number): void {
    this.storage.append(layer, desk, n);
  }

  attend(layer: number, desk: AttentionDesk, first: number, n: number, scores: Floats | null): void {
    this.storage.attend(layer, desk, first, n, scores);
  }

  closeChunk(position: number, ahead: number): void {
    this.storage.closeChunk?.(position, ahead);
  }

  closeStep(position: number): void {
    this.storage.closeStep?.(position);
  }

  truncated(position: number): void {
    this.storage.truncated?.(position);
  }

  reset(): void {
    this.storage.reset?.();
  }

  save(): unknown {
    return this.storage.save?.() ?? null;
  }

  restore(saved: unknown): () => void {
    return this.storage.restore?.(saved) ?? (() => {});
  }
}
