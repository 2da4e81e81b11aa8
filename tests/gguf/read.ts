/**
 * Reading whole models in tests: header, weights, and pieces of any size.
 *
 * @module
 */
import { type GgufModel, openModel, type TensorInfo } from "../../src/gguf/mod.ts";
import { type ModelInput, openSource } from "../../src/runtime/open_source.ts";
import type { SourceOptions } from "../../src/runtime/source_options.ts";
import type { Progress } from "../../src/gguf/source.ts";

export interface ReadModel {
  model: GgufModel;
  /** The bytes of every tensor. */
  weights: Map<string, Uint8Array>;
  progress: Progress[];
}

/** The header alone. */
export async function readModel(input: ModelInput, options?: SourceOptions): Promise<GgufModel> {
  const opened = await openModel(openSource(input, options));
  opened.close();
  return opened.model;
}

/** Everything. Throws when a byte of a weight comes twice, not at all, or out of order. */
export async function readAll(input: ModelInput, options?: SourceOptions): Promise<ReadModel> {
  const opened = await openModel(openSource(input, options));
  const weights = new Map<string, Uint8Array>();
  const progress: Progress[] = [];
  const parts: Uint8Array[] = [];
  const length = () => parts.reduce((sum, part) => sum + part.length, 0);
  await opened.streamTensors({
    write(tensor: TensorInfo, offset: number, bytes: Uint8Array) {
      if (offset !== length()) throw new Error(`${tensor.name}: byte ${offset} after byte ${length()}`);
      parts.push(bytes.slice());
    },
    done(tensor: TensorInfo) {
      if (tensor.bytes !== length()) throw new Error(`${tensor.name}: ${length()} of ${tensor.bytes} bytes`);
      weights.set(tensor.name, concat(parts.splice(0)));
    },
  }, { onProgress: (event) => progress.push(event) });
  return { model: opened.model, weights, progress };
}

/** A stream of the bytes in pieces of `size`, the last one shorter. */
export function inPieces(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      // a buffer of its own, so that a reader that looks beyond the piece is found out
      controller.enqueue(bytes.slice(at, at += size));
    },
  }, { highWaterMark: 0 });
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The strings of a key. */
export function strings(model: GgufModel, key: string): string[] {
  const { length, bytes, offsets } = model.metadata.strings(key)!;
  const text = new TextDecoder("utf-8", { ignoreBOM: true });
  return Array.from({ length }, (_, i) => text.decode(bytes.subarray(offsets[i], offsets[i + 1])));
}
