/**
 * The models of `arch/`: small random ones of every architecture, each with a prompt.
 *
 * @module
 */
import { loadModel, type LoadOptions, type Model } from "../../src/model/engine.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import type { Source } from "../../src/gguf/mod.ts";
import { goldenFloats, goldenJson, goldenPacked } from "./golden.ts";

/** One of them. */
export interface ArchCase {
  readonly name: string;
  readonly architecture: string;
  readonly nVocab: number;
  /** Its prompt. */
  readonly ids: readonly number[];
  /** Of the prompt, whose logits are stored. */
  readonly positions: readonly number[];
  /** To load with, where the model chooses its rotary factors by it. */
  readonly context?: number;
}

/** All of them. */
export const ARCH_CASES = await goldenJson<readonly ArchCase[]>("arch/cases.json");

/** Its file. */
export async function archSource({ name }: ArchCase): Promise<Source> {
  return openSource(await goldenPacked(`arch/${name}.gguf.gz`));
}

/** It, loaded. */
export async function loadArch(golden: ArchCase, options: Partial<LoadOptions> = {}): Promise<Model> {
  const { context } = golden;
  return await loadModel(await archSource(golden), { kernels: kernelModule, context, ...options });
}

/** The logits that transformers gives at each of its positions. */
export async function archLogits({ name, nVocab, positions }: ArchCase): Promise<Float32Array[]> {
  const all = await goldenFloats(`arch/${name}.logits`);
  return positions.map((_, row) => all.subarray(row * nVocab, (row + 1) * nVocab));
}
