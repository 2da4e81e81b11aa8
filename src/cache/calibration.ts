/**
 * What `deno task calibrate` has learned about the keys and values of one model: codebooks for coupled quantization.
 *
 * ```text
 * "LocketCQ"  u32 version  u32 bytes of the head
 * head        JSON, UTF-8: fingerprints of the model, sizes
 * codebooks   u16 halves [layer][keys, values][KV head, group, centre, channel]
 * SHA-256     of all before it
 * ```
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";
import { isCount } from "../count.ts";
import { OptionError } from "../error.ts";

const MAGIC = "LocketCQ";
const VERSION = 3;
const PREFIX_BYTES = 16;
const DIGEST_BYTES = 32;

/** Sizes that a calibration was made for. */
export interface CalibrationShape {
  readonly nLayers: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** Channels that share a code. */
  readonly channels: number;
  /** Centres of each such group: what a code can say, at most 256. */
  readonly centres: number;
}

/** Codebooks of one model. */
export interface Calibration extends CalibrationShape {
  /** Fingerprint of the model's header. */
  readonly model: string;
  /** Of its weights. */
  readonly weights: string;
  /** `[layer][keys, values][KV head, group, centre, channel]`: floats of 32 bits, or of 16 as their bits. */
  readonly books: Float32Array | Uint16Array;
}

const NAMES = ["nLayers", "nKvHeads", "headDim", "valueDim", "channels", "centres"] as const;

/** The calibration that a caller gives, if any. @throws {OptionError} When it is none. */
export function calibrationOf(given: Uint8Array | Calibration | undefined): Calibration | undefined {
  return given instanceof Uint8Array ? readCalibration(given) : given;
}

/** Numbers in the codebooks of one layer. */
export function bookLength(
  { nKvHeads, headDim, valueDim, centres }: Omit<CalibrationShape, "nLayers">,
): number {
  return nKvHeads * (headDim + valueDim) * centres;
}

/** A calibration as the bytes of a file. */
export function encodeCalibration(calibration: Calibration & { readonly books: Uint16Array }): Uint8Array {
  const { books, ...head } = calibration;
  const json = new TextEncoder().encode(JSON.stringify(head));
  const start = PREFIX_BYTES + json.length;
  const bytes = new Uint8Array(start + books.byteLength + DIGEST_BYTES);
  const view = new DataView(bytes.buffer);
  new TextEncoder().encodeInto(MAGIC, bytes);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, json.length, true);
  bytes.set(json, PREFIX_BYTES);
  bytes.set(new Uint8Array(books.buffer, books.byteOffset, books.byteLength), start);
  const digested = bytes.length - DIGEST_BYTES;
  bytes.set(sha256(bytes.subarray(0, digested)), digested);
  return bytes;
}

/**
 * The calibration in the bytes of a file.
 *
 * @throws {OptionError} When they are none, or damaged.
 */
export function readCalibration(bytes: Uint8Array): Calibration {
  const refuse = (found: string) =>
    new OptionError("calibration", found, "a file that `deno task calibrate` wrote");
  const digested = bytes.length - DIGEST_BYTES;
  if (digested < PREFIX_BYTES || new TextDecoder().decode(bytes.subarray(0, 8)) !== MAGIC) {
    throw refuse("something else");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(8, true) !== VERSION) throw refuse(`of version ${view.getUint32(8, true)}`);
  const digest = sha256(bytes.subarray(0, digested));
  if (digest.some((byte, i) => byte !== bytes[digested + i])) throw refuse("damaged");
  const start = PREFIX_BYTES + view.getUint32(12, true);
  const head = readHead(bytes.subarray(PREFIX_BYTES, start));
  if (head === undefined) throw refuse("without sizes");
  if (digested - start !== 2 * head.nLayers * bookLength(head)) throw refuse("of another size than it says");
  return { ...head, books: new Uint16Array(bytes.slice(start, digested).buffer) };
}

/** What the head says; `undefined` where it does not say all. */
function readHead(bytes: Uint8Array): Omit<Calibration, "books"> | undefined {
  try {
    const head = JSON.parse(new TextDecoder().decode(bytes));
    const named = [head.model, head.weights].every((value) => typeof value === "string");
    return named && NAMES.every((name) => isCount(head[name])) ? head : undefined;
  } catch {
    return undefined;
  }
}
