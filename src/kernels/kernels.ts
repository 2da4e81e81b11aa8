/**
 * The kernels, typed: each takes handles, checks their shapes and calls one export with plain numbers. One call does
 * one operation for one layer over all its tokens, heads and slots, so a check costs nothing that counts.
 * Nothing here allocates.
 *
 * @module
 */
import { KernelError } from "../error.ts";
import type { Bytes, Floats, Matrix, Words } from "../memory/handles.ts";
import { check, offsetOf } from "./arguments.ts";
import { CacheKernels } from "./cache_kernels.ts";
import { CascadeKernels } from "./cascade_kernels.ts";
import { ClassKernels } from "./class_kernels.ts";
import { ClusterKernels } from "./cluster_kernels.ts";
import { CodecKernels } from "./codec_kernels.ts";
import type { KernelExports } from "./exports.ts";
import { LogitsKernels } from "./logits_kernels.ts";
import { MassKernels } from "./mass_kernels.ts";
import { PageKernels } from "./page_kernels.ts";
import { PolicyKernels } from "./policy_kernels.ts";
import { quantizedBytes } from "./sizes.ts";
import { SketchKernels } from "./sketch_kernels.ts";
import { StoredKernels } from "./stored_kernels.ts";

export type { KernelExports };

/** Ids of the activations in the kernels' table. */
export const ACTIVATION = { silu: 0, geluTanh: 1, gelu: 2, relu: 3 } as const;

/** Ids of the two ways to pair the elements of a head for rotation. */
export const ROPE_STYLE = { adjacent: 0, half: 1 } as const;

/** What workerd writes when CPU time is nearly used up: SIGXCPU. */
const CPU_WARNING = 24;

/** Typed calls of one instance's kernels. T tokens, R rows, C columns, H heads, G KV heads, d head width. */
export class Kernels {
  /** The memory; take it after it has grown. */
  readonly buffer: ArrayBuffer;
  /** Those that store keys and values, and attention over them. */
  readonly cache: CacheKernels;
  /** Those that choose a token. */
  readonly logits: LogitsKernels;
  /** Those that cache policies are made of. */
  readonly policy: PolicyKernels;
  readonly cascade: CascadeKernels;
  /** Those of policies that look at stored keys and values. */
  readonly stored: StoredKernels;
  /** Those that code keys and values. */
  readonly codec: CodecKernels;
  /** Those that tell how many slots matter. */
  readonly mass: MassKernels;
  /** Those of indexes beside a cache. */
  readonly pages: PageKernels;
  readonly clusters: ClusterKernels;
  readonly sketch: SketchKernels;
  /** Those of classes of tokens. */
  readonly classes: ClassKernels;
  readonly #raw: KernelExports;
  readonly #signal: Uint32Array;

  constructor(exports: KernelExports) {
    this.buffer = exports.memory.buffer as ArrayBuffer;
    this.#signal = new Uint32Array(this.buffer, exports.__instance_signal.value, 1);
    // An instance's own exports object is slow to look up in; a copy is not.
    this.#raw = { ...exports };
    this.policy = new PolicyKernels(this.#raw);
    this.cascade = new CascadeKernels(this.#raw);
    this.stored = new StoredKernels(this.#raw);
    this.codec = new CodecKernels(this.#raw);
    this.cache = new CacheKernels(this.#raw, this.codec);
    this.logits = new LogitsKernels(this.#raw);
    this.mass = new MassKernels(this.#raw);
    this.pages = new PageKernels(this.#raw);
    this.clusters = new ClusterKernels(this.#raw);
    this.sketch = new SketchKernels(this.#raw);
    this.classes = new ClassKernels(this.#raw);
  }

  /** Whether the host has said, since this was last asked, that the CPU time of the request at work is nearly used up. */
  takeCpuWarning(): boolean {
    if (this.#signal[0] !== CPU_WARNING) return false;
    this.#signal[0] = 0;
    return true;
  }

  /** Turns a matrix from the file's layout into the kernels' own, in place. `scratch` holds four rows. */
  repack(w: Matrix, scratch: Bytes): void {
    check(scratch.length * w.nRows >= 4 * w.bytes, "repack", "scratch");
    this.#raw.repack(w.offset, scratch.offset, w.nRows, w.nCols, w.type);
  }

  /** out [T, C] = the rows of `w` that `ids` [T] name, as f32. */
  dequantizeRows(out: Floats, w: Matrix, ids: Words, nTokens: number): void {
    check(out.length >= nTokens * w.nCols, "dequantize_rows", "out");
    check(ids.length >= nTokens, "dequantize_rows", "ids");
    this.#raw.dequantize_rows(out.offset, w.offset, ids.offset, nTokens, w.nRows, w.nCols, w.type);
  }

  /** xq = x [T, C] as int8 blocks. */
  quantize(xq: Bytes, x: Floats, nTokens: number, nCols: number): void {
    check(xq.length >= nTokens * quantizedBytes(nCols), "quantize", "xq");
    check(x.length >= nTokens * nCols, "quantize", "x");
    this.#raw.quantize(xq.offset, x.offset, nTokens, nCols);
  }

  /** out [T, R] = x [T, C] · wᵀ, added to what is there with `accumulate`. `x` is int8 blocks iff `w.int8`. */
  matmul(out: Floats, w: Matrix, x: Floats | Bytes, nTokens: number, accumulate = false): void {
    check(out.length >= nTokens * w.nRows, "matmul", "out");
    if (x.kind === "bytes") check(w.int8 && x.length >= nTokens * quantizedBytes(w.nCols), "matmul", "x");
    else check(!w.int8 && x.length >= nTokens * w.nCols, "matmul", "x");
    this.#raw.matmul(out.offset, w.offset, x.offset, nTokens, w.nRows, w.nCols, w.type, accumulate ? 1 : 0);
  }

  /** out [T, n] = x [T, n] / rms(x) · weight, n = weight.length, starting `row` rows into x. */
  rmsnorm(out: Floats, x: Floats, weight: Floats, nTokens: number, eps: number, row = 0): void {
    const n = weight.length;
    check(out.length >= nTokens * n, "rmsnorm", "out");
    check(x.length >= (row + nTokens) * n, "rmsnorm", "x");
    this.#raw.rmsnorm(out.offset, x.offset + 4 * row * n, weight.offset, nTokens, n, eps);
  }

  /** out [T, n] = (x - mean) / deviation · weight + bias, n = weight.length, starting `row` rows into x. */
  layernorm(
    out: Floats,
    x: Floats,
    weight: Floats,
    bias: Floats | null,
    nTokens: number,
    eps: number,
    row = 0,
  ): void {
    const n = weight.length;
    check(out.length >= nTokens * n, "layernorm", "out");
    check(x.length >= (row + nTokens) * n, "layernorm", "x");
    check(bias === null || bias.length === n, "layernorm", "bias");
    const biasOffset = offsetOf(bias);
    this.#raw.layernorm(out.offset, x.offset + 4 * row * n, weight.offset, biasOffset, nTokens, n, eps);
  }

  /** out [n] += x [n]. */
  add(out: Floats, x: Floats, n: number): void {
    check(out.length >= n, "add", "out");
    check(x.length >= n, "add", "x");
    this.#raw.add(out.offset, x.offset, n);
  }

  /** x [T, n] += bias [n]. */
  addBias(x: Floats, bias: Floats, nTokens: number): void {
    check(x.length >= nTokens * bias.length, "add_bias", "x");
    this.#raw.add_bias(x.offset, bias.offset, nTokens, bias.length);
  }

  /** x [n] *= factor. */
  scale(x: Floats, n: number, factor: number): void {
    check(x.length >= n, "scale", "x");
    this.#raw.scale(x.offset, n, factor);
  }

  /** x [n] = cap · tanh(x / cap). */
  softcap(x: Floats, n: number, cap: number): void {
    check(x.length >= n, "softcap", "x");
    this.#raw.softcap(x.offset, n, cap);
  }

  /** x [n] = x held within ±limit. */
  clamp(x: Floats, n: number, limit: number): void {
    check(x.length >= n, "clamp", "x");
    this.#raw.clamp(x.offset, n, limit);
  }

  /** x [n] = act(x). */
  activate(x: Floats, n: number, kind: number): void {
    check(x.length >= n, "activate", "x");
    this.#raw.activate(x.offset, n, kind);
  }

  /** gate [n] = act(gate) · up. */
  gate(gate: Floats, up: Floats, n: number, kind: number): void {
    check(gate.length >= n, "gate", "gate");
    check(up.length >= n, "gate", "up");
    this.#raw.gate(gate.offset, gate.offset, up.offset, n, kind);
  }

  /** table [T, half, 2] = magnitude · (cos, sin) of position · frequency, half = frequencies.length. */
  ropeTable(table: Floats, positions: Words, frequencies: Floats, nTokens: number, magnitude: number): void {
    const half = frequencies.length;
    check(table.length >= nTokens * half * 2, "rope_table", "table");
    check(positions.length >= nTokens, "rope_table", "positions");
    this.#raw.rope_table(table.offset, positions.offset, frequencies.offset, nTokens, half, magnitude);
  }

  /** Rotates x [T, heads, headDim] by `table`. */
  rope(
    x: Floats,
    table: Floats,
    nTokens: number,
    heads: number,
    headDim: number,
    dims: number,
    style: number,
  ): void {
    check(x.length >= nTokens * heads * headDim, "rope", "x");
    check(table.length >= nTokens * dims, "rope", "table");
    this.#raw.rope(x.offset, table.offset, nTokens, heads, headDim, dims, style);
  }

  /** out [n] += the sum of the rows of x [T, n], n = out.length; the first row is overwritten. */
  addRows(out: Floats, x: Floats, nTokens: number): void {
    check(x.length >= nTokens * out.length, "add_rows", "x");
    this.#raw.add_rows(out.offset, x.offset, nTokens, out.length);
  }

  /** x /= |x|, over its whole length; zeros stay. */
  l2Normalize(x: Floats): void {
    this.#raw.l2_normalize(x.offset, x.length);
  }
}

/** A trap as a {@link KernelError}; any other error as it is. */
export function asKernelError(error: unknown): unknown {
  if (!(error instanceof WebAssembly.RuntimeError)) return error;
  return new KernelError(error.message, "a kernel trapped", { cause: error });
}
