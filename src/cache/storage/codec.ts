/**
 * What all codecs have in common: recent tokens lie exact in a ring, by position; those that leave it are coded in
 * their slots by one kernel call for all heads of a layer; attention reads each where it is.
 *
 * @module
 */
import type { Hparams } from "../../hparams.ts";
import { CODEC_HEADER } from "../../kernels/codec_kernels.ts";
import { SLOT_GROUP, slotsBytes } from "../../kernels/sizes.ts";
import type { Bytes, LayerCache, Layout, Words } from "../../memory/handles.ts";
import type { PolicyValue } from "../policy.ts";
import type { Param } from "../named.ts";
import type { AttentionDesk, AttentionRules, StoragePlan } from "../storage.ts";
import { PlainStorage } from "./plain.ts";

/** Kinds of codecs, as the kernels number them. */
export const CODEC_KIND = { kivi: 0, think: 1, cq: 2, mixed: 3 } as const;

/** One layer's codec in numbers. */
export interface CodecForm {
  readonly kind: number;
  /** Latest tokens that stay exact. */
  readonly recent: number;
  /** Tokens of a chunk, which are exact too. */
  readonly chunk: number;
  /** Nothing is coded before a prompt has been read to its end. */
  readonly afterPrompt?: boolean;
  /** Exact tokens and parameters of groups as 16-bit floats. */
  readonly halves: boolean;
  /** What the kind asks for: at most four numbers. */
  readonly params: readonly number[];
  /** Words of 32 slots' coded keys, and values, of one KV head. */
  readonly keyWords: number;
  readonly valueWords: number;
  /** Values lie as the cache's type says, and none of them in the ring. */
  readonly plainValues?: number;
  /** Words per KV head beside the ring. */
  readonly stateWords?: number;
  /** Words of a layer beside those. */
  readonly layerWords?: number;
  /** Codebooks of all layers, one behind the other. */
  readonly books?: Uint8Array;
  /** Keys come unrotated. */
  readonly unrotated?: boolean;
}

/** Precision of what is not coded. */
export const EXACT: Param = {
  default: "f16",
  help: "Floats of the recent tokens and of the parameters of groups",
  oneOf: ["f16", "f32"],
};

/** The plan of a codec. */
export function planCodec(
  name: string,
  params: Readonly<Record<string, PolicyValue>>,
  hparams: Hparams,
  form: CodecForm,
): StoragePlan {
  const { nKvHeads, headDim: keyDim, valueDim } = hparams;
  const ring = form.recent + form.chunk;
  const exactWidth = keyDim + (form.plainValues === undefined ? valueDim : 0);
  const ringWords = ring * exactWidth / (form.halves ? 2 : 1);
  const words = CODEC_HEADER + nKvHeads * (ringWords + (form.stateWords ?? 0)) + (form.layerWords ?? 0);
  return {
    name,
    params,
    books: form.books,
    unrotated: form.unrotated,
    demotes: form.kind === CODEC_KIND.mixed,
    lay: (capacities: readonly number[], kv: Layout, slots: Layout, books: Bytes | null) =>
      capacities.map((capacity, layer): LayerCache => {
        const blocks = nKvHeads * capacity / SLOT_GROUP;
        const codec = kv.words(words);
        return Object.freeze({
          keys: kv.block(4 * blocks * form.keyWords),
          values: kv.block(4 * blocks * form.valueWords),
          slots: slots.block(slotsBytes(capacity, nKvHeads)),
          capacity,
          nKvHeads,
          keyDim,
          valueDim,
          keyType: 0,
          valueType: form.plainValues ?? 0,
          codec,
          state: { codec },
          ...(books !== null && { books: partOf(books, layer, hparams.nLayers) }),
        });
      }),
    open: (rules, layers) => new CodecStorage(rules, layers, form, ring),
  };
}

/** One of `n` equal parts. */
function partOf({ offset, length }: Bytes, index: number, n: number): Bytes {
  return Object.freeze({ kind: "bytes", offset: offset + index * length / n, length: length / n });
}

/** Coded keys and values of one sequence. */
class CodecStorage extends PlainStorage {
  readonly #headers: readonly Uint32Array[];

  constructor(
    rules: AttentionRules,
    layers: readonly LayerCache[],
    private readonly form: CodecForm,
    private readonly ring: number,
  ) {
    super(rules, layers);
    this.#headers = layers.map(({ codec }) =>
      new Uint32Array(rules.kernels.buffer, codec!.offset, CODEC_HEADER)
    );
  }

  override append(layer: number, { q, k, v, positions }: AttentionDesk, n: number): void {
    const { kernels, hparams } = this.rules;
    kernels.codec.append(this.layers[layer], q, k, v, positions, n, hparams.nHeads);
  }

  closeChunk(position: number, ahead: number): void {
    if (ahead > 0 && this.form.afterPrompt) return;
    this.#each((codec) => this.rules.kernels.codec.flush(codec, position));
  }

  closeStep(position: number): void {
    this.closeChunk(position, 0);
  }

  truncated(position: number): void {
    this.#each((codec) => this.rules.kernels.codec.truncate(codec, position));
  }

  reset(): void {
    this.#place();
    this.#each((codec) => this.rules.kernels.codec.reset(codec));
  }

  /** How far coding has come lies in memory; where things lie is this sequence's own. */
  restore(): () => void {
    return () => this.#place();
  }

  /** Writes into each header all but the first four words, which are the kernels'. */
  #place(): void {
    const { recent, halves, params, kind } = this.form;
    this.#headers.forEach((header, layer) => {
      const { nKvHeads, capacity, keyDim, valueDim, keys, values, slots, books } = this.layers[layer];
      header[0] = kind;
      const places = [keys.offset, values.offset, slots.offset, books?.offset ?? 0];
      header.set([nKvHeads, capacity, keyDim, valueDim, ...places, recent, this.ring, Number(halves)], 4);
      header.set(params, 15);
    });
  }

  #each(visit: (codec: Words) => void): void {
    for (const { codec } of this.layers) visit(codec!);
  }
}
