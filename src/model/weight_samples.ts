/**
 * What tells the weights of one model from those of another of the same header, such as a fine-tune: samples of every
 * tensor's bytes, taken as they arrive.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import type { TensorInfo, TensorSink } from "../gguf/mod.ts";
import { SAMPLE_BYTES, samplesOf } from "../snapshot/samples.ts";

/** Passes tensors on to another sink and keeps samples of their bytes as the file has them. */
export class WeightSamples implements TensorSink {
  readonly #samples = new Map<string, Uint8Array>();

  constructor(private readonly sink: TensorSink) {}

  write(tensor: TensorInfo, offsetInTensor: number, bytes: Uint8Array): void {
    const behind = offsetInTensor + bytes.length;
    samplesOf(tensor.bytes).forEach(({ start, end }, i, { length }) => {
      const [from, to] = [Math.max(start, offsetInTensor), Math.min(end, behind)];
      if (from >= to) return;
      const sample = bytes.subarray(from - offsetInTensor, to - offsetInTensor);
      this.#of(tensor.name, length).set(sample, i * SAMPLE_BYTES + from - start);
    });
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
    return bytesToHex(hash.digest());
  }

  #of(name: string, nSamples: number): Uint8Array {
    const known = this.#samples.get(name) ?? new Uint8Array(nSamples * SAMPLE_BYTES);
    this.#samples.set(name, known);
    return known;
  }
}
