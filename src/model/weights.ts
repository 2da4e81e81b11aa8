/**
 * Where every weight goes: the tensors of the file, bound to their parts in a block, each byte once.
 *
 * @module
 */
import { UnsupportedModelError } from "../error.ts";
import { GgmlType, ggmlTypeName } from "../gguf/ggml_type.ts";
import type { TensorInfo } from "../gguf/mod.ts";
import type { Hparams } from "../hparams.ts";
import { readsInt8, rowBytes } from "../kernels/sizes.ts";
import { type Floats, Layout, type Matrix } from "../memory/handles.ts";
import type { TensorTable } from "./tensor_table.ts";

/** A matrix with its bias, if the model has one. */
export interface Linear {
  readonly weight: Matrix;
  readonly bias: Floats | null;
}

/** Scale and, for layer norms that have one, shift. */
export interface Norm {
  readonly weight: Floats;
  readonly bias: Floats | null;
}

/** The weights of one layer. What a model does not have is null. */
export interface Block {
  readonly attnNorm: Norm;
  /** `[H · d, D]`, `[G · d, D]`, `[G · dv, D]`. */
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  /** Whether any of the three reads int8. */
  readonly qkvInt8: boolean;
  /** Over each head of the queries and keys, `[d]`. */
  readonly qNorm: Norm | null;
  readonly kNorm: Norm | null;
  /** `[D, H · dv]`. */
  readonly attnOut: Linear;
  readonly postAttnNorm: Norm | null;
  /** Null where the feed-forward reads what attention reads (GPT-J, Falcon). */
  readonly ffnNorm: Norm | null;
  /** `[F, D]`; null without gating. */
  readonly gate: Linear | null;
  /** `[F, D]`. */
  readonly up: Linear;
  /** Whether any of gate and up reads int8. */
  readonly upInt8: boolean;
  /** `[D, F]`. */
  readonly down: Linear;
  readonly postFfnNorm: Norm | null;
}

/** A run of rows of a tensor, in its own place in memory. */
export interface Part {
  /** First byte in the tensor. */
  readonly start: number;
  readonly bytes: number;
  /** Address in memory. */
  readonly offset: number;
  /** To be repacked once the bytes are there; null for vectors, which stay as they are. */
  readonly matrix: Matrix | null;
}

/** All weights of a model and where their bytes go. */
export interface Weights {
  readonly embedding: Matrix;
  /** `[nContext, D]`, for learned positions. */
  readonly positionEmbedding: Matrix | null;
  readonly blocks: readonly Block[];
  readonly outputNorm: Norm;
  /** `[V, D]`; the embedding itself where the model ties them. */
  readonly output: Linear;
  /** Divisors of the rotary frequencies `[dims / 2]`. */
  readonly ropeFactors: Floats | null;
  /** By tensor name. A fused tensor has several parts. */
  readonly parts: ReadonlyMap<string, readonly Part[]>;
  readonly bytes: number;
  /** The largest four rows of any matrix, what repacking needs. */
  readonly scratchBytes: number;
}

/**
 * Binds tensors to their places, the first at address `base`.
 *
 * @throws {UnsupportedModelError} Naming the tensor, for one that is missing, unknown, or of a wrong shape or type.
 */
export function bindWeights(hparams: Hparams, table: TensorTable, base: number): Weights {
  const binder = new Binder(table, base);
  const { dim, nVocab, nLayers } = hparams;
  const embedding = binder.matrix("token_embd", nVocab, dim);
  const positionEmbedding = hparams.positions === "learned"
    ? binder.matrix("position_embd", hparams.nContext, dim)
    : null;
  const factors = hparams.rope?.factorsTensor;
  const ropeFactors = factors === undefined ? null : binder.vector(factors, hparams.rope!.dims / 2);
  const blocks = Array.from({ length: nLayers }, (_, l) => bindBlock(binder, hparams, `blk.${l}.`));
  const outputNorm = binder.norm("output_norm", dim);
  const output = table.has("output.weight")
    ? binder.linear("output", nVocab, dim)
    : { weight: embedding, bias: binder.optionalVector("output.bias", nVocab) };
  table.finish();
  const { parts, bytes, scratchBytes } = binder;
  return {
    embedding,
    positionEmbedding,
    blocks,
    outputNorm,
    output,
    ropeFactors,
    parts,
    bytes,
    scratchBytes,
  };
}

function bindBlock(binder: Binder, hparams: Hparams, prefix: string): Block {
  const { dim, ffnDim, nHeads, nKvHeads, headDim, valueDim } = hparams;
  const name = (part: string) => prefix + part;
  const heads = [nHeads * headDim, nKvHeads * headDim, nKvHeads * valueDim];
  const [q, k, v] = binder.has(name("attn_qkv.weight"))
    ? binder.fused(name("attn_qkv"), heads, dim)
    : ["attn_q", "attn_k", "attn_v"].map((part, i) => binder.linear(name(part), heads[i], dim));
  const fusedGate = hparams.gated && !binder.has(name("ffn_gate.weight"));
  const [gate, up] = fusedGate ? binder.fused(name("ffn_up"), [ffnDim, ffnDim], dim) : [
    hparams.gated ? binder.linear(name("ffn_gate"), ffnDim, dim) : null,
    binder.linear(name("ffn_up"), ffnDim, dim),
  ];
  // Falcon's larger models norm twice: the second one is attention's, the first the feed-forward's.
  const twoNorms = binder.has(name("attn_norm_2.weight"));
  const shared = hparams.residual === "parallel" && !twoNorms && !binder.has(name("ffn_norm.weight"));
  return Object.freeze({
    attnNorm: binder.norm(name(twoNorms ? "attn_norm_2" : "attn_norm"), dim),
    q,
    k,
    v,
    qkvInt8: q.weight.int8 || k.weight.int8 || v.weight.int8,
    qNorm: binder.optionalNorm(name("attn_q_norm"), headDim),
    kNorm: binder.optionalNorm(name("attn_k_norm"), headDim),
    attnOut: binder.linear(name("attn_output"), dim, nHeads * valueDim),
    postAttnNorm: binder.optionalNorm(name("post_attention_norm"), dim),
    ffnNorm: shared ? null : binder.norm(name(twoNorms ? "attn_norm" : "ffn_norm"), dim),
    gate,
    up: up!,
    upInt8: up!.weight.int8 || gate?.weight.int8 === true,
    down: binder.linear(name("ffn_down"), dim, ffnDim),
    postFfnNorm: binder.optionalNorm(name("post_ffw_norm"), dim),
  });
}

/** Takes tensors from the table and lays them out one behind the other. */
class Binder {
  readonly parts = new Map<string, Part[]>();
  readonly #layout: Layout;
  scratchBytes = 0;

  constructor(readonly table: TensorTable, base: number) {
    this.#layout = new Layout(base);
  }

  get bytes(): number {
    return this.#layout.bytes;
  }

  has(name: string): boolean {
    return this.table.has(name);
  }

  matrix(name: string, nRows: number, nCols: number): Matrix {
    return this.#split(this.table.take(`${name}.weight`, [nCols, nRows]), [nRows], nCols)[0];
  }

  linear(name: string, nRows: number, nCols: number): Linear {
    return Object.freeze({
      weight: this.matrix(name, nRows, nCols),
      bias: this.optionalVector(`${name}.bias`, nRows),
    });
  }

  /** One tensor whose rows are several matrices, one below the other; its bias likewise. */
  fused(name: string, rows: readonly number[], nCols: number): Linear[] {
    const nRows = rows.reduce((sum, n) => sum + n, 0);
    const matrices = this.#split(this.table.take(`${name}.weight`, [nCols, nRows]), rows, nCols);
    const bias = this.has(`${name}.bias`) ? this.#vectors(`${name}.bias`, rows) : null;
    return matrices.map((weight, i) => Object.freeze({ weight, bias: bias === null ? null : bias[i] }));
  }

  norm(name: string, length: number): Norm {
    return Object.freeze({
      weight: this.vector(`${name}.weight`, length),
      bias: this.optionalVector(`${name}.bias`, length),
    });
  }

  optionalNorm(name: string, length: number): Norm | null {
    return this.has(`${name}.weight`) ? this.norm(name, length) : null;
  }

  vector(name: string, length: number): Floats {
    return this.#vectors(name, [length])[0];
  }

  optionalVector(name: string, length: number): Floats | null {
    return this.has(name) ? this.vector(name, length) : null;
  }

  #vectors(name: string, lengths: readonly number[]): Floats[] {
    const tensor = this.table.take(name, [lengths.reduce((sum, n) => sum + n, 0)]);
    if (tensor.type !== GgmlType.F32) {
      throw new UnsupportedModelError(`type of tensor ${name}`, ggmlTypeName(tensor.type), ["F32"]);
    }
    let start = 0;
    return lengths.map((length) => {
      const handle = this.#layout.floats(length);
      this.#place(tensor, { start, bytes: 4 * length, offset: handle.offset, matrix: null });
      start += 4 * length;
      return handle;
    });
  }

  #split(tensor: TensorInfo, rows: readonly number[], nCols: number): Matrix[] {
    const { type } = tensor;
    const perRow = rowBytes(type, nCols);
    this.scratchBytes = Math.max(this.scratchBytes, 4 * perRow);
    let start = 0;
    return rows.map((nRows) => {
      const bytes = nRows * perRow;
      const offset = this.#layout.take(bytes);
      const matrix = Object.freeze(
        { kind: "matrix" as const, offset, bytes, type, nRows, nCols, int8: readsInt8(type) },
      );
      this.#place(tensor, { start, bytes, offset, matrix });
      start += bytes;
      return matrix;
    });
  }

  #place(tensor: TensorInfo, part: Part): void {
    const parts = this.parts.get(tensor.name);
    if (parts === undefined) this.parts.set(tensor.name, [part]);
    else parts.push(part);
  }
}
