/**
 * A model of SmolLM2-135M's shape with random weights in Q4_0 and a full vocabulary, as bytes of a GGUF file.
 *
 * @module
 */
import { GgmlType } from "../../../src/gguf/mod.ts";
import { writeGguf, type WriteTensor } from "../../gguf/writer.ts";
import { f32, noise, text, u32 } from "../../model/tiny_model.ts";

const SHAPE = { dim: 576, nLayers: 30, nHeads: 9, nKvHeads: 3, ffnDim: 1536, nVocab: 49152, nContext: 8192 };

/** Q4_0: per 32 weights a scale in f16 and 16 bytes of nibbles. */
const BLOCK_BYTES = 18;

/** 77.7 MB: what fills a Worker's isolate but for the cache. */
export function smolModel(): Uint8Array<ArrayBuffer> {
  const { dim, nLayers, nHeads, nKvHeads, ffnDim, nVocab, nContext } = SHAPE;
  const { tokens, merges } = vocabulary(nVocab);
  return writeGguf({
    metadata: [
      ["general.architecture", text("llama")],
      ["general.name", text("random SmolLM2-135M")],
      ["llama.context_length", u32(nContext)],
      ["llama.embedding_length", u32(dim)],
      ["llama.block_count", u32(nLayers)],
      ["llama.feed_forward_length", u32(ffnDim)],
      ["llama.attention.head_count", u32(nHeads)],
      ["llama.attention.head_count_kv", u32(nKvHeads)],
      ["llama.attention.layer_norm_rms_epsilon", f32(1e-5)],
      ["llama.rope.freq_base", f32(100_000)],
      ["tokenizer.ggml.model", text("gpt2")],
      ["tokenizer.ggml.pre", text("default")],
      ["tokenizer.ggml.tokens", { type: "ARRAY", of: "STRING", values: tokens }],
      ["tokenizer.ggml.merges", { type: "ARRAY", of: "STRING", values: merges }],
      ["tokenizer.ggml.eos_token_id", u32(nVocab - 1)],
      ["tokenizer.ggml.bos_token_id", u32(nVocab - 1)],
    ],
    tensors: tensors(),
  });
}

/** Bytes as GPT-2 writes them, then all pairs, triples and some fours of letters, each with the merge that makes it. */
function vocabulary(nVocab: number): { tokens: string[]; merges: string[] } {
  const printable = [...range(33, 127), ...range(161, 173), ...range(174, 256)];
  const others = range(0, 256).filter((byte) => !printable.includes(byte)).map((_, i) => 256 + i);
  const tokens = [...printable, ...others].map((code) => String.fromCodePoint(code));
  const merges: string[] = [];
  const letters = range(97, 123).map((code) => String.fromCodePoint(code));
  let longest = letters;
  while (tokens.length < nVocab - 1) {
    const longer: string[] = [];
    for (const head of longest) {
      for (const letter of letters) {
        if (tokens.length === nVocab - 1) break;
        tokens.push(head + letter);
        merges.push(`${head} ${letter}`);
        longer.push(head + letter);
      }
    }
    longest = longer;
  }
  return { tokens: [...tokens, "<|endoftext|>"], merges };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

function tensors(): WriteTensor[] {
  const { dim, nLayers, nKvHeads, nHeads, ffnDim, nVocab } = SHAPE;
  const random = noise(7);
  const pool = Uint8Array.from({ length: 2 ** 18 * BLOCK_BYTES }, () => 128 + 128 * random());
  const scales = new DataView(pool.buffer);
  const matrix = (name: string, columns: number, rows: number): WriteTensor => {
    const bytes = columns * rows / 32 * BLOCK_BYTES;
    const data = new Uint8Array(bytes);
    // nibbles -8 … 7 have a deviation of 4.6
    for (let at = 0; at < pool.length; at += BLOCK_BYTES) {
      scales.setFloat16(at, 1 / (4.6 * Math.sqrt(columns)), true);
    }
    for (let at = 0; at < bytes; at += pool.length) data.set(pool.subarray(0, bytes - at), at);
    return { name: `${name}.weight`, type: GgmlType.Q4_0, shape: [columns, rows], data };
  };
  const norm = (name: string): WriteTensor => {
    const data = new Uint8Array(new Float32Array(dim).fill(1).buffer);
    return { name: `${name}.weight`, type: GgmlType.F32, shape: [dim], data };
  };
  const kvDim = dim / nHeads * nKvHeads;
  const layers = range(0, nLayers).flatMap((l) => [
    norm(`blk.${l}.attn_norm`),
    matrix(`blk.${l}.attn_q`, dim, dim),
    matrix(`blk.${l}.attn_k`, dim, kvDim),
    matrix(`blk.${l}.attn_v`, dim, kvDim),
    matrix(`blk.${l}.attn_output`, dim, dim),
    norm(`blk.${l}.ffn_norm`),
    matrix(`blk.${l}.ffn_gate`, dim, ffnDim),
    matrix(`blk.${l}.ffn_up`, dim, ffnDim),
    matrix(`blk.${l}.ffn_down`, ffnDim, dim),
  ]);
  return [matrix("token_embd", dim, nVocab), ...layers, norm("output_norm")];
}
