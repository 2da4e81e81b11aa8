/**
 * A Llama of a few kilobytes with random weights, as bytes of a GGUF file; any key or tensor can be made wrong.
 *
 * @module
 */
import { GgmlType } from "../../src/gguf/mod.ts";
import { type Value, writeGguf, type WriteTensor } from "../gguf/writer.ts";

export const TINY = {
  dim: 32,
  nLayers: 2,
  nHeads: 4,
  nKvHeads: 2,
  ffnDim: 64,
  nVocab: 40,
  nContext: 128,
} as const;

/** Keys without their prefix to replace or, with `undefined`, to leave out. */
export type Keys = Record<string, Value | undefined>;

export interface TinyOptions {
  keys?: Keys;
  /** Changes the list of tensors before it is written. */
  tensors?: (tensors: WriteTensor[]) => WriteTensor[];
}

export const u32 = (value: number): Value => ({ type: "UINT32", value });
export const f32 = (value: number): Value => ({ type: "FLOAT32", value });
export const text = (value: string): Value => ({ type: "STRING", value });

/** A small generator of repeatable numbers in (-1, 1). */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** The bytes of the file. */
export function tinyModel({ keys = {}, tensors = (all) => all }: TinyOptions = {}): Uint8Array<ArrayBuffer> {
  const { dim, nLayers, nHeads, nKvHeads, ffnDim, nVocab, nContext } = TINY;
  const llama: Keys = {
    "context_length": u32(nContext),
    "embedding_length": u32(dim),
    "block_count": u32(nLayers),
    "feed_forward_length": u32(ffnDim),
    "attention.head_count": u32(nHeads),
    "attention.head_count_kv": u32(nKvHeads),
    "attention.layer_norm_rms_epsilon": f32(1e-5),
    ...keys,
  };
  const tokens = Array.from({ length: nVocab }, (_, i) => ["<unk>", "<s>", "</s>"][i] ?? `t${i}`);
  const metadata: [string, Value][] = [["general.architecture", text("llama")]];
  for (const [key, value] of Object.entries(llama)) {
    if (value !== undefined) metadata.push([`llama.${key}`, value]);
  }
  metadata.push(
    ["tokenizer.ggml.model", text("llama")],
    ["tokenizer.ggml.tokens", { type: "ARRAY", of: "STRING", values: tokens }],
    ["tokenizer.ggml.scores", { type: "ARRAY", of: "FLOAT32", values: tokens.map((_, i) => -i) }],
    ["tokenizer.ggml.token_type", {
      type: "ARRAY",
      of: "INT32",
      values: tokens.map((_, i) => i < 3 ? 3 : 1),
    }],
    ["tokenizer.ggml.bos_token_id", u32(1)],
    ["tokenizer.ggml.eos_token_id", u32(2)],
  );
  return writeGguf({ metadata, tensors: tensors(tinyTensors()) });
}

function tinyTensors(): WriteTensor[] {
  const { dim, nLayers, nHeads, nKvHeads, ffnDim, nVocab } = TINY;
  const random = noise(1);
  const tensor = (name: string, ...shape: number[]): WriteTensor => {
    const n = shape.reduce((product, size) => product * size, 1);
    const spread = shape.length === 1 ? 0 : 2 / Math.sqrt(shape[0]);
    const values = Float32Array.from({ length: n }, () => shape.length === 1 ? 1 : spread * random());
    return { name: `${name}.weight`, type: GgmlType.F32, shape, data: new Uint8Array(values.buffer) };
  };
  const kvDim = dim / nHeads * nKvHeads;
  const layers = Array.from({ length: nLayers }, (_, l) => [
    tensor(`blk.${l}.attn_norm`, dim),
    tensor(`blk.${l}.attn_q`, dim, dim),
    tensor(`blk.${l}.attn_k`, dim, kvDim),
    tensor(`blk.${l}.attn_v`, dim, kvDim),
    tensor(`blk.${l}.attn_output`, dim, dim),
    tensor(`blk.${l}.ffn_norm`, dim),
    tensor(`blk.${l}.ffn_gate`, dim, ffnDim),
    tensor(`blk.${l}.ffn_up`, dim, ffnDim),
    tensor(`blk.${l}.ffn_down`, ffnDim, dim),
  ]);
  return [tensor("token_embd", dim, nVocab), ...layers.flat(), tensor("output_norm", dim)];
}
