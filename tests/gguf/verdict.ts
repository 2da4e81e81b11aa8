/**
 * What may come of any bytes at all: a model whose parts fit together and equal the file's bytes, or a typed error that
 * names a field and an offset. Nothing else, and not with more memory than the bytes that came warrant.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { GgufError, SourceError, UnsupportedModelError } from "../../src/error.ts";
import { ggmlTypes, type GgufArray, isNumbers, isStrings } from "../../src/gguf/mod.ts";
import { countAllocations } from "./allocations.ts";
import { inPieces, readAll, type ReadModel } from "./read.ts";

export type Verdict = ReadModel | GgufError | SourceError | UnsupportedModelError;

/** How the bytes arrive: a buffer of known size, or a stream without one, in pieces. */
export type Arrival = "buffer" | number;

/** Buffers of a reader that has read nothing yet. */
const BASE_BYTES = 4096;
/** Copies made while an array grows, its final copy, and the copies of weights that the test itself makes. */
const COPIES = 8;

/** Reads the bytes and checks what comes of them. */
export async function judge(bytes: Uint8Array<ArrayBuffer>, arrival: Arrival = "buffer"): Promise<Verdict> {
  const input = () => arrival === "buffer" ? bytes : inPieces(bytes, arrival);
  const { result, bytes: allocated } = await countAllocations(() => readAll(input()).catch((error) => error));
  const warranted = BASE_BYTES + COPIES * bytes.length;
  assert(allocated <= warranted, `${allocated} bytes allocated for ${bytes.length}`);
  if (result instanceof Error) checkError(result, bytes.length);
  else checkModel(result, bytes);
  return result;
}

function checkError(error: Error, fileBytes: number): void {
  if (error instanceof GgufError) {
    assert(error.field.length > 0, "the error names no field");
    assert(
      error.offset >= 0 && error.offset <= fileBytes,
      `the error is at byte ${error.offset} of ${fileBytes}`,
    );
  } else if (error instanceof UnsupportedModelError) {
    assert(/\(field [\w[\].]+, byte \d+\)/.test(error.message), `no field or offset: ${error.message}`);
  } else if (!(error instanceof SourceError)) throw error;
  assert(!/undefined|NaN|\[object/.test(error.message), error.message);
}

function checkModel({ model, weights }: ReadModel, file: Uint8Array): void {
  let end = 0;
  for (const tensor of model.tensors) {
    const { name, shape, type, offset, bytes } = tensor;
    const { blockSize, blockBytes } = ggmlTypes.get(type)!;
    assert(shape.length >= 1 && shape.length <= 4 && shape.every((size) => size >= 1), `${name}: ${shape}`);
    assertEquals(bytes, shape.reduce((a, b) => a * b) / blockSize * blockBytes);
    assert(offset >= end && offset % model.alignment === 0, `${name} begins at ${offset}, before ${end}`);
    end = offset + bytes;
    assertEquals(weights.get(name), new Uint8Array(file.subarray(offset, end)), name);
  }
  assert(end <= file.length);
  assertEquals(weights.size, model.tensors.length);
  for (const key of model.metadata.keys()) {
    const value = model.metadata.get(key)!;
    if (typeof value === "object") checkArray(value);
  }
}

function checkArray(value: GgufArray): void {
  if (isNumbers(value)) return;
  if (!isStrings(value)) return value.forEach(checkArray);
  assertEquals(value.offsets.length, value.length + 1);
  assertEquals([value.offsets[0], value.offsets.at(-1)], [0, value.bytes.length]);
  assert(value.offsets.every((offset, i) => i === 0 || offset >= value.offsets[i - 1]));
}
