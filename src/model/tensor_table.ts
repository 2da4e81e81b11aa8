/**
 * The tensors of a file by name, checked against what the architecture wants of them.
 *
 * @module
 */
import { UnsupportedModelError } from "../error.ts";
import type { TensorInfo } from "../gguf/mod.ts";

/** Tensors that some files carry and no computation here needs. */
const IGNORED = /(^|\.)(attn_rot_embd|rope_freqs|rope_factors_(long|short))\.weight$/;

/** Look-ups that remember what was asked for, so that a tensor nobody reads is noticed. */
export class TensorTable {
  readonly #tensors = new Map<string, TensorInfo>();
  readonly #read = new Set<string>();

  /** @throws {UnsupportedModelError} When two tensors have one name. */
  constructor(tensors: readonly TensorInfo[]) {
    for (const tensor of tensors) {
      if (this.#tensors.has(tensor.name)) {
        throw new UnsupportedModelError("tensor", tensor.name, ["one of each name"]);
      }
      this.#tensors.set(tensor.name, tensor);
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** Rows of a tensor that is there; 0 when it is not. */
  rows(name: string): number {
    return this.#tensors.get(name)?.shape[1] ?? 0;
  }

  /**
   * The tensor called `name`.
   *
   * @param shape Sizes in ggml order: columns, rows.
   * @throws {UnsupportedModelError} When it is missing or has another shape.
   */
  take(name: string, shape: readonly number[]): TensorInfo {
    const tensor = this.#tensors.get(name);
    const wanted = `[${shape.join(", ")}]`;
    if (tensor === undefined) throw new UnsupportedModelError(`tensor ${name}`, "missing", [wanted]);
    const size = (i: number) => tensor.shape[i] ?? 1;
    const fits = tensor.shape.every((n, i) => n === (shape[i] ?? 1)) && shape.every((n, i) => n === size(i));
    if (!fits) throw new UnsupportedModelError(`shape of tensor ${name}`, tensor.shape, [wanted]);
    this.#read.add(name);
    return tensor;
  }

  /** @throws {UnsupportedModelError} When a tensor was never taken: leaving it out would give wrong answers. */
  finish(): void {
    for (const name of this.#tensors.keys()) {
      if (!this.#read.has(name) && !IGNORED.test(name)) {
        throw new UnsupportedModelError("tensor", name, ["the tensors of the architecture"]);
      }
    }
  }
}
