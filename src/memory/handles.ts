/**
 * Handles: where something lies in WASM memory and what shape it has. Frozen plain records of offsets, made once
 * at load; the kernels' wrappers check shapes on them, so a wrong offset can't be written down by hand.
 *
 * @module
 */

/** `length` f32 values. */
export interface Floats {
  readonly kind: "f32";
  readonly offset: number;
  readonly length: number;
}

/** `length` u32 values: token ids, positions. */
export interface Words {
  readonly kind: "u32";
  readonly offset: number;
  readonly length: number;
}

/** Bytes whose inner layout belongs to the kernels. */
export interface Bytes {
  readonly kind: "bytes";
  readonly offset: number;
  readonly length: number;
}

/** A weight matrix `[nRows, nCols]` of one ggml type, in the kernels' layout once loaded. */
export interface Matrix {
  readonly kind: "matrix";
  readonly offset: number;
  readonly bytes: number;
  /** ggml type id. */
  readonly type: number;
  readonly nRows: number;
  readonly nCols: number;
  /** The product reads activations as int8 blocks (`quantize`) rather than f32. */
  readonly int8: boolean;
}

/** Keys, values and slots of one layer of one sequence. */
export interface LayerCache {
  readonly keys: Bytes;
  readonly values: Bytes;
  readonly slots: Bytes;
  /** Slots per KV head, a multiple of 32. */
  readonly capacity: number;
  readonly nKvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** ggml type id of the stored keys. */
  readonly keyType: number;
  readonly valueType: number;
  /** Added to the logits of each slot, `[G, capacity]`. */
  readonly bias?: Floats;
  /** Statistics of the queries so far: count, mean and half of the covariance of each query head. */
  readonly queries?: Floats;
  /** A bit for each slot, `[G, capacity / 32]`: those with 0 are not read, and 32 of them cost nothing. */
  readonly active?: Words;
  /** Place of each slot's token among those of its head, `[G, capacity]`: positions without gaps, where they are compact. */
  readonly ranks?: Words;
  /** Tokens in each ring of a cascade, `[G, 16]`. */
  readonly rings?: Words;
  /** Set where keys are stored unrotated: they and the queries turn when they are read. */
  readonly rotation?: Rotation;
  /** How keys or values are coded, where the types above don't say it: what `codec::open` of the kernels takes. */
  readonly codec?: Words;
  /** Codebooks of the codec, which all sequences share. */
  readonly books?: Bytes;
  /** What a storage or a reader keeps beside them, by name: overlays, parameters of codecs, indexes. */
  readonly state?: Readonly<Record<string, Floats | Words | Bytes>>;
  /** What a reader works in or can make anew, by name: not worth saving. Layers may share it. */
  readonly scratch?: Readonly<Record<string, Floats | Words>>;
}

/** Rotary tables for keys that are rotated when they are read. */
export interface Rotation {
  /** Cosines and sines `[rows, dims / 2, 2]` by place in the cache, or by position where the cache has no ranks. */
  readonly table: Floats;
  /** Leading elements of a head that turn. */
  readonly dims: number;
  /** Id in `ROPE_STYLE`. */
  readonly style: number;
}

/** Everything in memory starts at a multiple of this, in bytes. */
export const ALIGNMENT = 16;

/** The next multiple of `step` (bytes or slots) that is at least `n`. */
export function roundUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}

/** Lays handles one behind the other from `base`, each aligned; `end` is the first free byte. */
export class Layout {
  #end: number;

  constructor(readonly base: number) {
    this.#end = base;
  }

  get end(): number {
    return this.#end;
  }

  /** Bytes laid out so far, padding included. */
  get bytes(): number {
    return this.#end - this.base;
  }

  /** Reserves bytes and returns their offset. */
  take(bytes: number): number {
    const offset = this.#end;
    this.#end = offset + roundUp(bytes, ALIGNMENT);
    return offset;
  }

  floats(length: number): Floats {
    return Object.freeze({ kind: "f32" as const, offset: this.take(4 * length), length });
  }

  words(length: number): Words {
    return Object.freeze({ kind: "u32" as const, offset: this.take(4 * length), length });
  }

  block(length: number): Bytes {
    return Object.freeze({ kind: "bytes" as const, offset: this.take(length), length });
  }
}
