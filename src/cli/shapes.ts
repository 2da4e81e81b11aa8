/**
 * Headers of well-known models, made from their published shapes: enough to plan with, nothing to run.
 *
 * @module
 */
import {
  GgmlType,
  type GgufModel,
  type GgufValue,
  Metadata,
  tensorBytes,
  type TensorInfo,
} from "../gguf/mod.ts";

/** What `config.json` of a model says. */
export interface Shape {
  readonly name: string;
  readonly architecture: "llama" | "qwen2";
  readonly dim: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly ffnDim: number;
  readonly nVocab: number;
  readonly nMerges: number;
  readonly nContext: number;
}

/** How the matrices are stored. The embedding is also the output of all of these models. */
export interface Storage {
  readonly name: string;
  readonly matrices: number;
  readonly embedding: (shape: Shape) => number;
}

/** All models here share the embedding with the output, as small ones do. */
export const SHAPES = {
  smol135: {
    name: "SmolLM2 135M",
    architecture: "llama",
    dim: 576,
    nLayers: 30,
    nHeads: 9,
    nKvHeads: 3,
    headDim: 64,
    ffnDim: 1536,
    nVocab: 49152,
    nMerges: 48900,
    nContext: 8192,
  },
  smol360: {
    name: "SmolLM2 360M",
    architecture: "llama",
    dim: 960,
    nLayers: 32,
    nHeads: 15,
    nKvHeads: 5,
    headDim: 64,
    ffnDim: 2560,
    nVocab: 49152,
    nMerges: 48900,
    nContext: 8192,
  },
  qwen05: {
    name: "Qwen2.5 0.5B",
    architecture: "qwen2",
    dim: 896,
    nLayers: 24,
    nHeads: 14,
    nKvHeads: 2,
    headDim: 64,
    ffnDim: 4864,
    nVocab: 151936,
    nMerges: 151387,
    nContext: 32768,
  },
  llama1: {
    name: "Llama 3.2 1B",
    architecture: "llama",
    dim: 2048,
    nLayers: 16,
    nHeads: 32,
    nKvHeads: 8,
    headDim: 64,
    ffnDim: 8192,
    nVocab: 128256,
    nMerges: 280147,
    nContext: 131072,
  },
} satisfies Record<string, Shape>;

/** What `llama-quantize` gives an embedding that is also the output, where the type asked for is smaller. */
const finer = ({ dim }: Shape) => dim % 256 === 0 ? GgmlType.Q6_K : GgmlType.Q8_0;

export const STORAGES = {
  pureQ4: { name: "Q4_0, `--pure`", matrices: GgmlType.Q4_0, embedding: () => GgmlType.Q4_0 },
  q4: { name: "Q4_0", matrices: GgmlType.Q4_0, embedding: finer },
  q8: { name: "Q8_0", matrices: GgmlType.Q8_0, embedding: () => GgmlType.Q8_0 },
} satisfies Record<string, Storage>;

/** Bytes of a token in the mean, of byte-level BPE on mostly English text. */
const TOKEN_BYTES = 7;

/** The header of a model of that shape. The vocabulary's words are made up, their number and mean length are not. */
export function headerOf(shape: Shape, storage: Storage): GgufModel {
  const { architecture, nLayers, nVocab, nMerges } = shape;
  const strings = (length: number, bytesEach: number) => ({
    length,
    bytes: new Uint8Array(length * bytesEach).fill(97),
    offsets: Uint32Array.from({ length: length + 1 }, (_, i) => i * bytesEach),
  });
  const values: Record<string, GgufValue> = {
    "general.architecture": architecture,
    [`${architecture}.context_length`]: shape.nContext,
    [`${architecture}.embedding_length`]: shape.dim,
    [`${architecture}.block_count`]: nLayers,
    [`${architecture}.feed_forward_length`]: shape.ffnDim,
    [`${architecture}.attention.head_count`]: shape.nHeads,
    [`${architecture}.attention.head_count_kv`]: shape.nKvHeads,
    [`${architecture}.attention.layer_norm_rms_epsilon`]: 1e-5,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "default",
    "tokenizer.ggml.tokens": strings(nVocab, TOKEN_BYTES),
    "tokenizer.ggml.merges": strings(nMerges, TOKEN_BYTES + 1),
    "tokenizer.ggml.eos_token_id": nVocab - 1,
  };
  const tensors = tensorsOf(shape, storage);
  const last = tensors.at(-1)!;
  return {
    version: 3,
    metadata: new Metadata(
      new Map(Object.entries(values).map(([key, value]) => [key, { value, offset: 0 }])),
    ),
    tensors,
    alignment: 32,
    fileBytes: last.offset + last.bytes,
  };
}

function tensorsOf(shape: Shape, { matrices, embedding }: Storage): TensorInfo[] {
  const { architecture, dim, nLayers, nHeads, nKvHeads, headDim, ffnDim, nVocab } = shape;
  const tensors: TensorInfo[] = [];
  let offset = 0;
  const add = (name: string, type: number, ...sizes: number[]) => {
    const bytes = tensorBytes(type, sizes);
    tensors.push({ name, type, shape: sizes, bytes, offset, file: 0 });
    offset += Math.ceil(bytes / 32) * 32;
  };
  add("token_embd.weight", embedding(shape), dim, nVocab);
  add("output_norm.weight", GgmlType.F32, dim);
  for (let layer = 0; layer < nLayers; layer++) {
    const matrix = (name: string, nColumns: number, nRows: number) =>
      add(`blk.${layer}.${name}.weight`, matrices, nColumns, nRows);
    for (const norm of ["attn_norm", "ffn_norm"]) add(`blk.${layer}.${norm}.weight`, GgmlType.F32, dim);
    for (const [name, n] of [["q", nHeads], ["k", nKvHeads], ["v", nKvHeads]] as const) {
      matrix(`attn_${name}`, dim, n * headDim);
      if (architecture === "qwen2") add(`blk.${layer}.attn_${name}.bias`, GgmlType.F32, n * headDim);
    }
    matrix("attn_output", nHeads * headDim, dim);
    for (const name of ["ffn_gate", "ffn_up"]) matrix(name, dim, ffnDim);
    matrix("ffn_down", ffnDim, dim);
  }
  return tensors;
}
