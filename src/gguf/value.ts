/**
 * Metadata values: thirteen types by id, arrays of any of them, arrays of arrays.
 *
 * @module
 */
import type { ByteReader } from "./byte_reader.ts";
import { GrowingBytes } from "./growing_bytes.ts";
import type { GgufArray, GgufNumbers, GgufStrings, GgufValue } from "./metadata.ts";

/** The value types of the format. */
export const ValueType = {
  UINT8: 0,
  INT8: 1,
  UINT16: 2,
  INT16: 3,
  UINT32: 4,
  INT32: 5,
  FLOAT32: 6,
  BOOL: 7,
  STRING: 8,
  ARRAY: 9,
  UINT64: 10,
  INT64: 11,
  FLOAT64: 12,
} as const;

/** Arrays of arrays of … deeper than this are refused. Known files have a depth of 1. */
const MAX_ARRAY_DEPTH = 8;
/** Fewest bytes that a string and an array take: their length, their type and length. */
const MIN_STRING_BYTES = 8;
const MIN_ARRAY_BYTES = 12;

interface NumberType {
  readonly bytes: number;
  read(view: DataView, at: number): number | bigint;
  array(buffer: ArrayBuffer): GgufNumbers;
}

// Every host of WebAssembly that Locket runs on is little-endian, as the file is: arrays are views of its bytes.
const NUMBERS: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [ValueType.UINT8, { bytes: 1, read: (v, at) => v.getUint8(at), array: (b) => new Uint8Array(b) }],
  [ValueType.INT8, { bytes: 1, read: (v, at) => v.getInt8(at), array: (b) => new Int8Array(b) }],
  [ValueType.UINT16, { bytes: 2, read: (v, at) => v.getUint16(at, true), array: (b) => new Uint16Array(b) }],
  [ValueType.INT16, { bytes: 2, read: (v, at) => v.getInt16(at, true), array: (b) => new Int16Array(b) }],
  [ValueType.UINT32, { bytes: 4, read: (v, at) => v.getUint32(at, true), array: (b) => new Uint32Array(b) }],
  [ValueType.INT32, { bytes: 4, read: (v, at) => v.getInt32(at, true), array: (b) => new Int32Array(b) }],
  [ValueType.FLOAT32, {
    bytes: 4,
    read: (v, at) => v.getFloat32(at, true),
    array: (b) => new Float32Array(b),
  }],
  [ValueType.BOOL, { bytes: 1, read: (v, at) => v.getUint8(at), array: (b) => new Uint8Array(b) }],
  [ValueType.UINT64, {
    bytes: 8,
    read: (v, at) => v.getBigUint64(at, true),
    array: (b) => new BigUint64Array(b),
  }],
  [ValueType.INT64, {
    bytes: 8,
    read: (v, at) => v.getBigInt64(at, true),
    array: (b) => new BigInt64Array(b),
  }],
  [ValueType.FLOAT64, {
    bytes: 8,
    read: (v, at) => v.getFloat64(at, true),
    array: (b) => new Float64Array(b),
  }],
]);

/** Offsets that an array of strings begins with; they double as strings arrive. */
const FIRST_OFFSETS = 64;
/** Longest key or tensor name, in bytes. */
export const MAX_NAME_BYTES = 65535;

// A wrong byte in a description does no harm; in a name it would make two names one.
const text = new TextDecoder("utf-8", { ignoreBOM: true });
const strictText = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** What a file may still take of things that are much larger in memory than in the file. */
export interface ValueBudget {
  arrays: number;
}

/** Reads the value of `key`: its type, then the value. */
export async function readValue(reader: ByteReader, key: string, budget: ValueBudget): Promise<GgufValue> {
  reader.begin(key);
  await reader.need(4);
  const type = reader.u32();
  if (type === ValueType.ARRAY) return await readArray(reader, key, budget, 1);
  if (type === ValueType.STRING) return text.decode(await readString(reader));
  const number = NUMBERS.get(type);
  if (number === undefined) throw reader.error(`value type ${type} is not one of 0 to 12`);
  await reader.need(number.bytes);
  const value = reader.scalar(number.bytes, number.read);
  if (type === ValueType.BOOL) return toBoolean(reader, value);
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** The bytes of a length-prefixed string. `maxBytes` is a bound that the format sets. */
export async function readString(reader: ByteReader, maxBytes = Infinity): Promise<Uint8Array> {
  await reader.need(8);
  const length = reader.u64();
  if (length > maxBytes) throw reader.error(`a string of ${length} bytes, wanted at most ${maxBytes}`);
  reader.claim(length, "a string");
  return await reader.bytes(length);
}

/** The text of a key or tensor name. */
export function decodeName(reader: ByteReader, bytes: Uint8Array): string {
  if (bytes.length === 0) throw reader.error("the name is empty");
  try {
    return strictText.decode(bytes);
  } catch {
    throw reader.error("the name is no UTF-8");
  }
}

async function readArray(
  reader: ByteReader,
  key: string,
  budget: ValueBudget,
  depth: number,
): Promise<GgufArray> {
  await reader.need(MIN_ARRAY_BYTES);
  const type = reader.u32();
  const length = reader.u64();
  if (type === ValueType.ARRAY) return await readArrays(reader, key, length, budget, depth);
  if (type === ValueType.STRING) return await readStrings(reader, key, length);
  const number = NUMBERS.get(type);
  if (number === undefined) throw reader.error(`element type ${type} is not one of 0 to 12`);
  reader.claim(length * number.bytes, `an array of ${length} numbers`);
  const bytes = await reader.bytes(length * number.bytes);
  if (type === ValueType.BOOL) bytes.forEach((value) => toBoolean(reader, value));
  return number.array(bytes.buffer);
}

async function readArrays(
  reader: ByteReader,
  key: string,
  length: number,
  budget: ValueBudget,
  depth: number,
): Promise<GgufArray> {
  if (depth === MAX_ARRAY_DEPTH) throw reader.error(`arrays are nested deeper than ${MAX_ARRAY_DEPTH}`);
  if (length > budget.arrays) {
    throw reader.error(`${length} nested arrays, wanted at most ${budget.arrays} more`);
  }
  reader.claim(length * MIN_ARRAY_BYTES, `an array of ${length} arrays`);
  budget.arrays -= length;
  const arrays: GgufArray[] = [];
  for (let i = 0; i < length; i++) {
    reader.begin(key, i);
    arrays.push(await readArray(reader, `${key}[${i}]`, budget, depth + 1));
  }
  return arrays;
}

async function readStrings(reader: ByteReader, key: string, length: number): Promise<GgufStrings> {
  reader.claim(length * MIN_STRING_BYTES, `an array of ${length} strings`);
  const bytes = new GrowingBytes();
  let offsets = new Uint32Array(Math.min(length + 1, FIRST_OFFSETS));
  for (let i = 0; i < length; i++) {
    reader.begin(key, i);
    if (!reader.appendStringNow(bytes)) await appendString(reader, bytes);
    if (i + 1 === offsets.length) {
      offsets = new Uint32Array(offsets.buffer.transfer(4 * Math.min(2 * offsets.length, length + 1)));
    }
    offsets[i + 1] = bytes.length;
  }
  return { length, bytes: bytes.finish(), offsets };
}

async function appendString(reader: ByteReader, to: GrowingBytes): Promise<void> {
  await reader.need(8);
  const length = reader.u64();
  reader.claim(length, "a string");
  await reader.append(to, length);
}

function toBoolean(reader: ByteReader, value: number | bigint): boolean {
  if (value !== 0 && value !== 1) throw reader.error(`a boolean is the byte ${value}, wanted 0 or 1`);
  return value === 1;
}
