/**
 * What tells the weights of one model from those of another of the same header, such as a fine-tune: samples of every
 * tensor's bytes, taken as they arrive.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import type { TensorInfo, TensorSink } from "../gguf/mod.ts";

/** Pieces of each tensor that are looked at, evenly spread, and the bytes of one. */
const SAMPLES = 8;
const SAMPLE_BYTES = 32;

/** Passes tensors on to another sink and keeps samples of their bytes as the file has them. */
export class WeightSamples implements TensorSink {
  readonly #samples = new Map<string, Uint8Array>();

  constructor(private readonly sink: TensorSink) {}

  write(tensor: TensorInfo, offsetInTensor: number, bytes: Uint8Array): void {
    const size = Math.min(SAMPLE_BYTES, tensor.bytes);
    const end = offsetInTensor + bytes.length;
    for (let i = 0; i < SAMPLES; i++) {
      const start = Math.floor((tensor.bytes - size) * i / (SAMPLES - 1));
      const [from, to] = [Math.max(start, offsetInTensor), Math.min(start + size, end)];
      if (from >= to) continue;
      const sample = bytes.subarray(from - offsetInTensor, to - offsetInTensor);
      this.#of(tensor.name).set(sample, i * SAMPLE_BYTES + from - start);
    }
    this.sink.write(tensor, offsetInTensor, bytes);
  }

  done(tensor: TensorInfo): void {
    this.sink.done(tensor);
  }

  /** SHA-256, in hexadecimal, of the samples; the order of tensors and of files does not count. */
  digest(): string {
    const hash = sha256.create();
    for (const name of [...this.#samples.keys()].sort()) {
      hash.update(new TextEncoder().encode(`\n${name}\n`)).update(this.#samples.get(name)!);
    }
    return Array.from(hash.digest(), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  #of(name: string): Uint8Array {
    const known = this.#samples.get(name) ?? new Uint8Array(SAMPLES * SAMPLE_BYTES);
    this.#samples.set(name, known);
    return known;
  }
}
