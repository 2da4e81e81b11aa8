/**
 * The Llama of tests/golden/quant_logits, its matrices of any tensor type: the same bytes as its script makes, from a
 * hash of each byte's place.
 *
 * @module
 */
import { GgmlType, ggmlTypes } from "../../src/gguf/mod.ts";
import { type Value, writeGguf, type WriteTensor } from "../gguf/writer.ts";
import { f32, text, u32 } from "./tiny_model.ts";

/** A type and how its random blocks get sensible scales; `fields` are [byte, power of two, sign] of f16 numbers. */
export interface QuantType {
  type: string;
  id: number;
  exponent: number;
  fields: [at: number, power: number, sign: number][] | null;
}

export interface QuantShape {
  dim: number;
  nLayers: number;
  nHeads: number;
  nKvHeads: number;
  ffnDim: number;
  nVocab: number;
  nContext: number;
}

/** Word `i` of the stream `seed`. */
function hashed(seed: number, i: number): number {
  let h = Math.imul(i, 0x9e3779b9) + seed;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function halfWeights({ id, exponent }: QuantType, seed: number, n: number): Uint8Array {
  const word = id === GgmlType.F16
    ? (h: number) => (h & 0x83ff) | (exponent + (h >>> 24) % 4) << 10
    : (h: number) => (h & 0x807f) | (exponent + 127 - 15 + (h >>> 24) % 4) << 7;
  return new Uint8Array(Uint16Array.from({ length: n }, (_, i) => word(hashed(seed, i))).buffer);
}

function blockWeights({ id, exponent, fields }: QuantType, seed: number, n: number): Uint8Array {
  const { blockSize, blockBytes } = ggmlTypes.get(id)!;
  const bytes = Uint8Array.from({ length: n / blockSize * blockBytes }, (_, i) => hashed(seed, i) >>> 13);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block * blockSize < n; block++) {
    const mantissa = hashed(seed + 1, block) >>> 22;
    for (const [at, power, sign] of fields!) {
      view.setUint16(block * blockBytes + at, sign << 15 | (exponent + power) << 10 | mantissa, true);
    }
  }
  return bytes;
}

/** The file. */
export function quantModel(shape: QuantShape, type: QuantType): Uint8Array<ArrayBuffer> {
  const { dim, nLayers, nHeads, nKvHeads, ffnDim, nVocab, nContext } = shape;
  const kvDim = dim / nHeads * nKvHeads;
  const layers = Array.from({ length: nLayers }, (_, l) => `blk.${l}.`);
  const matrices: [name: string, rows: number, columns: number][] = [
    ["token_embd", nVocab, dim],
    ...layers.flatMap((layer) =>
      ([
        ["attn_q", dim, dim],
        ["attn_k", kvDim, dim],
        ["attn_v", kvDim, dim],
        ["attn_output", dim, dim],
        ["ffn_gate", ffnDim, dim],
        ["ffn_up", ffnDim, dim],
        ["ffn_down", dim, ffnDim],
      ] as const).map(([name, rows, columns]) => [layer + name, rows, columns] as [string, number, number])
    ),
  ];
  const norms = [...layers.flatMap((layer) => [`${layer}attn_norm`, `${layer}ffn_norm`]), "output_norm"];
  const make = type.fields === null ? halfWeights : blockWeights;
  const tensors: WriteTensor[] = [
    ...matrices.map(([name, rows, columns], i) => ({
      name: `${name}.weight`,
      type: type.id,
      shape: [columns, rows],
      data: make(type, 16 * i, rows * columns),
    })),
    ...norms.map((name, i) => ({
      name: `${name}.weight`,
      type: GgmlType.F32,
      shape: [dim],
      data: new Uint8Array(
        Float32Array.from({ length: dim }, (_, k) => 0.8 + 0.4 * (hashed(9000 + i, k) / 2 ** 32)).buffer,
      ),
    })),
  ];
  const tokens = Array.from({ length: nVocab }, (_, i) => String.fromCodePoint(0x100 + i));
  const metadata: [string, Value][] = [
    ["general.architecture", text("llama")],
    ["llama.context_length", u32(nContext)],
    ["llama.embedding_length", u32(dim)],
    ["llama.block_count", u32(nLayers)],
    ["llama.feed_forward_length", u32(ffnDim)],
    ["llama.attention.head_count", u32(nHeads)],
    ["llama.attention.head_count_kv", u32(nKvHeads)],
    ["llama.attention.layer_norm_rms_epsilon", f32(1e-5)],
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.tokens", { type: "ARRAY", of: "STRING", values: tokens }],
    ["tokenizer.ggml.merges", { type: "ARRAY", of: "STRING", values: [] }],
  ];
  return writeGguf({ metadata, tensors });
}
