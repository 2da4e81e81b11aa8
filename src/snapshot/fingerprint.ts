/**
 * What tells one model from another, without a look at all of its bytes.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import { bytesToHex } from "@noble/hashes/utils";
import type { Hparams } from "../hparams.ts";
import type { Matrix } from "../memory/handles.ts";
import { samplesOf } from "./samples.ts";

/** Where a run of rows of a tensor lies; a matrix is in the kernels' layout. */
export interface FingerprintPart {
  readonly offset: number;
  readonly bytes: number;
  readonly matrix: Matrix | null;
}

/** What of a model is looked at. */
export interface FingerprintSource {
  readonly hparams: Hparams;
  /** By tensor name. */
  readonly parts: Iterable<readonly [string, readonly FingerprintPart[]]>;
  /** Bytes of each token, by id. */
  readonly vocabulary: Iterable<Uint8Array>;
  /** All of memory. */
  readonly memory: Uint8Array;
}

/** Bytes of tokens that are digested at once. */
const BATCH_BYTES = 2 ** 16;

/**
 * SHA-256, in hexadecimal, of the hyperparameters, the table of tensors, the vocabulary and samples of every tensor's
 * bytes: a fine-tune of the same shape differs in them. Both binaries lay weights out alike, so it is the same for both.
 */
export function fingerprint({ hparams, parts, vocabulary, memory }: FingerprintSource): string {
  const encoder = new TextEncoder();
  const hash = sha256.create().update(encoder.encode(canonical(hparams)));
  for (const batch of batches(vocabulary)) hash.update(batch);
  for (const [name, pieces] of parts) {
    for (const { offset, bytes, matrix } of pieces) {
      const shape = matrix === null ? "vector" : `${matrix.type} ${matrix.nRows}x${matrix.nCols}`;
      hash.update(encoder.encode(`\n${name} ${bytes} ${shape}\n`));
      for (const { start, end } of samplesOf(bytes)) {
        hash.update(memory.subarray(offset + start, offset + end));
      }
    }
  }
  return bytesToHex(hash.digest());
}

/** All tokens one behind the other, each after its length. */
function* batches(tokens: Iterable<Uint8Array>): Generator<Uint8Array> {
  const batch = new Uint8Array(BATCH_BYTES);
  let filled = 0;
  for (const token of tokens) {
    if (filled + 2 + token.length > BATCH_BYTES) {
      yield batch.subarray(0, filled);
      filled = 0;
    }
    // A longer token than a batch is told by its beginning.
    const bytes = token.subarray(0, BATCH_BYTES - 2);
    batch[filled++] = token.length & 255;
    batch[filled++] = token.length >> 8 & 255;
    batch.set(bytes, filled);
    filled += bytes.length;
  }
  yield batch.subarray(0, filled);
}

/** JSON with the keys of every object in order. */
export function canonical(value: unknown): string {
  return JSON.stringify(
    value,
    (_, inner) =>
      inner !== null && typeof inner === "object" && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1))
        : inner,
  );
}
