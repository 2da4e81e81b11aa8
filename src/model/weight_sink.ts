/**
 * Takes the weights as they arrive, copies each byte once to its place, and repacks a matrix when its last is there.
 *
 * @module
 */
import type { TensorInfo, TensorSink } from "../gguf/mod.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { Bytes } from "../memory/handles.ts";
import type { Weights } from "./weights.ts";

/** A sink for `streamTensors`. */
export class WeightSink implements TensorSink {
  /** @param memory All of memory. @param scratch At least `weights.scratchBytes`, free while weights load. */
  constructor(
    readonly weights: Weights,
    readonly memory: Uint8Array,
    readonly kernels: Kernels,
    readonly scratch: Bytes,
  ) {}

  write(tensor: TensorInfo, offsetInTensor: number, bytes: Uint8Array): void {
    const end = offsetInTensor + bytes.length;
    for (const part of this.weights.parts.get(tensor.name) ?? []) {
      const from = Math.max(offsetInTensor, part.start);
      const to = Math.min(end, part.start + part.bytes);
      if (from >= to) continue;
      this.memory.set(
        bytes.subarray(from - offsetInTensor, to - offsetInTensor),
        part.offset + from - part.start,
      );
    }
  }

  done(tensor: TensorInfo): void {
    for (const { matrix } of this.weights.parts.get(tensor.name) ?? []) {
      if (matrix !== null) this.kernels.repack(matrix, this.scratch);
    }
  }
}
