/**
 * The header of one GGUF file: magic, version, counts, key-value pairs, tensor table.
 *
 * Source: the GGUF specification, versions 2 and 3.
 *
 * @module
 */
import { UnsupportedModelError } from "../error.ts";
import type { ByteReader } from "./byte_reader.ts";
import { Metadata, type MetadataEntry } from "./metadata.ts";
import { MIN_ENTRY_BYTES, readTensorTable, type TensorInfo } from "./tensor.ts";
import { decodeName, MAX_NAME_BYTES, readString, readValue } from "./value.ts";

/** What one file says before its weights. */
export interface Header {
  readonly version: number;
  readonly metadata: Metadata;
  /** In the order of their bytes. */
  readonly tensors: readonly TensorInfo[];
  readonly alignment: number;
}

const MAGIC = "GGUF";
const VERSIONS = [2, 3];
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 2 ** 30;
/**
 * Each becomes an object many times its bytes in the file. Known files have fewer than 100 keys, 5,000 tensors and
 * no nested array.
 */
const MAX_PAIRS = 65536;
const MAX_TENSORS = 65536;
const MAX_NESTED_ARRAYS = 65536;
/** Fewest bytes of a pair: a key of one byte, type, value of one byte. */
const MIN_PAIR_BYTES = 8 + 1 + 4 + 1;
/**
 * A header longer than this is refused, so that a stream of unknown length can't fill the heap. The largest
 * vocabularies in use (256,000 tokens with merges) take less than 20 MiB.
 */
const MAX_HEADER_BYTES = 128 * 2 ** 20;

/**
 * Reads the header and leaves the reader behind it, before the padding.
 *
 * @param file Index of this file among the splits.
 * @throws {GgufError} When the bytes are no GGUF header.
 * @throws {UnsupportedModelError} When version, byte order or a tensor type is not supported.
 */
export async function readHeader(reader: ByteReader, file = 0): Promise<Header> {
  await reader.open();
  reader.limit = MAX_HEADER_BYTES;
  await readMagic(reader);
  const version = await readVersion(reader);
  const nTensors = await readCount(reader, "tensor_count", MAX_TENSORS, MIN_ENTRY_BYTES);
  const nPairs = await readCount(reader, "metadata_kv_count", MAX_PAIRS, MIN_PAIR_BYTES);
  const metadata = await readMetadata(reader, nPairs);
  const alignment = readAlignment(reader, metadata);
  const tensors = await readTensorTable(reader, nTensors, alignment, file);
  reader.limit = Infinity;
  return { version, metadata, tensors, alignment };
}

async function readMagic(reader: ByteReader): Promise<void> {
  reader.begin("magic");
  await reader.need(4);
  const magic = String.fromCharCode(reader.u8(), reader.u8(), reader.u8(), reader.u8());
  if (magic !== MAGIC) throw reader.error(`no GGUF file: it begins with ${JSON.stringify(magic)}`);
}

async function readVersion(reader: ByteReader): Promise<number> {
  reader.begin("version");
  await reader.need(4);
  const version = reader.u32();
  if (VERSIONS.includes(version)) return version;
  const where = `${reader.file.name}: GGUF`;
  // a small number read in the wrong order has its low half empty
  if (version !== 0 && (version & 0xffff) === 0) {
    throw new UnsupportedModelError(`${where} byte order (field version, byte 4)`, "big-endian", [
      "little-endian",
    ]);
  }
  throw new UnsupportedModelError(`${where} version (field version, byte 4)`, version, VERSIONS);
}

async function readCount(reader: ByteReader, field: string, max: number, minBytes: number): Promise<number> {
  reader.begin(field);
  await reader.need(8);
  const count = reader.u64();
  if (count > max) throw reader.error(`${count} entries, wanted at most ${max}`);
  reader.claim(count * minBytes, `a table of ${count} entries`);
  return count;
}

async function readMetadata(reader: ByteReader, count: number): Promise<Metadata> {
  const entries = new Map<string, MetadataEntry>();
  const budget = { arrays: MAX_NESTED_ARRAYS };
  for (let i = 0; i < count; i++) {
    reader.begin(`metadata[${i}].key`);
    const key = decodeName(reader, await readString(reader, MAX_NAME_BYTES));
    if (entries.has(key)) throw reader.error(`a second key is called ${JSON.stringify(key)}`);
    const offset = reader.position;
    entries.set(key, { value: await readValue(reader, key, budget), offset });
  }
  return new Metadata(entries);
}

function readAlignment(reader: ByteReader, metadata: Metadata): number {
  const key = "general.alignment";
  const alignment = metadata.number(key, DEFAULT_ALIGNMENT);
  const isPower = Number.isInteger(alignment) && alignment > 0 && alignment <= MAX_ALIGNMENT &&
    (alignment & (alignment - 1)) === 0;
  if (isPower) return alignment;
  throw reader.error(`alignment is ${alignment}, wanted a power of two`, key, metadata.offset(key));
}
