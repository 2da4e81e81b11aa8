/**
 * The row of logits as the kernels see it: nothing but survivors leaves WASM memory.
 *
 * @module
 */
import type { Kernels } from "../kernels/kernels.ts";
import type { Arena } from "../memory/arena.ts";
import type { Floats, Layout, Words } from "../memory/handles.ts";
import { type LogitsRow, MAX_SURVIVORS, type Penalties, type TopLogits } from "./logits.ts";

/** Room for what goes to and from one row. */
export interface SurvivorSpace {
  /** Of the survivors, `[MAX_SURVIVORS]` each; also for lists that go the other way. */
  readonly ids: Words;
  readonly values: Floats;
  /** A bit a token of the vocabulary. */
  readonly mask: Words;
}

/** Lays out that room. */
export function laySurvivors(nVocab: number, output: Layout): SurvivorSpace {
  return {
    ids: output.words(MAX_SURVIVORS),
    values: output.floats(MAX_SURVIVORS),
    mask: output.words(Math.ceil(nVocab / 32)),
  };
}

/** A row of logits in WASM memory. */
export class KernelRow implements LogitsRow {
  readonly nVocab: number;
  readonly mask: Uint32Array;
  readonly #kernels: Kernels;
  readonly #logits: Floats;
  readonly #space: SurvivorSpace;
  readonly #row: Float32Array;
  readonly #ids: Uint32Array;
  readonly #values: Float32Array;
  #top: TopLogits;
  /** The same bytes as the values, for counts. */
  readonly #countSpace: Words;
  readonly #counts: Uint32Array;

  /**
   * @param logits Starts with the row, `[nVocab]`.
   * @param space May be shared by all rows: no call leaves anything in it that a later one reads.
   */
  constructor(kernels: Kernels, arena: Arena, logits: Floats, nVocab: number, space: SurvivorSpace) {
    this.nVocab = nVocab;
    this.#kernels = kernels;
    this.#logits = logits;
    this.#space = space;
    this.#row = arena.floats(logits).subarray(0, nVocab);
    this.#ids = arena.words(space.ids);
    this.#values = arena.floats(space.values);
    this.#top = { ids: this.#ids, values: this.#values };
    this.#countSpace = Object.freeze({
      kind: "u32",
      offset: space.values.offset,
      length: space.values.length,
    });
    this.#counts = arena.words(this.#countSpace);
    this.mask = arena.words(space.mask);
  }

  argmax(): number {
    return this.#kernels.logits.argmax(this.#logits, this.nVocab);
  }

  top(k: number): TopLogits {
    this.#kernels.logits.topk(this.#space.ids, this.#space.values, this.#logits, this.nVocab, k);
    // A generation mostly asks for as many again.
    if (this.#top.ids.length !== k) {
      this.#top = { ids: this.#ids.subarray(0, k), values: this.#values.subarray(0, k) };
    }
    return this.#top;
  }

  logSumExp(): number {
    return this.#kernels.logits.logSumExp(this.#logits, this.nVocab);
  }

  scale(factor: number): void {
    this.#kernels.scale(this.#logits, this.nVocab, factor);
  }

  add(ids: ArrayLike<number>, values: ArrayLike<number>): void {
    this.#inPieces(ids, values, this.#values, (n) => {
      this.#kernels.logits.addAt(this.#logits, this.#space.ids, this.#space.values, n);
    });
  }

  penalize(ids: ArrayLike<number>, counts: ArrayLike<number>, penalties: Penalties): void {
    const { repetition, frequency, presence } = penalties;
    this.#inPieces(ids, counts, this.#counts, (n) => {
      this.#kernels.logits.penalize(
        this.#logits,
        this.#space.ids,
        this.#countSpace,
        n,
        repetition,
        frequency,
        presence,
      );
    });
  }

  keep(): void {
    this.#kernels.logits.keep(this.#logits, this.#space.mask, this.nVocab);
  }

  view(): Float32Array {
    return this.#row;
  }

  /** Carries pairs into the space, as many as fit at a time. */
  #inPieces(
    ids: ArrayLike<number>,
    values: ArrayLike<number>,
    target: Float32Array | Uint32Array,
    call: (n: number) => void,
  ): void {
    for (let start = 0; start < ids.length; start += this.#ids.length) {
      const n = Math.min(this.#ids.length, ids.length - start);
      for (let i = 0; i < n; i++) {
        this.#ids[i] = ids[start + i];
        target[i] = values[start + i];
      }
      call(n);
    }
  }
}
