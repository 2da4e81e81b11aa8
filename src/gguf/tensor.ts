/**
 * The tensor table: what each entry may say, and where its bytes lie.
 *
 * @module
 */
import { UnsupportedModelError } from "../error.ts";
import type { ByteReader } from "./byte_reader.ts";
import { ggmlTypeName, ggmlTypes, tensorBytes } from "./ggml_type.ts";
import { decodeName, MAX_NAME_BYTES, readString } from "./value.ts";

/** A tensor of the model. */
export interface TensorInfo {
  readonly name: string;
  /** ggml type id, see `GgmlType`. */
  readonly type: number;
  /** 1 to 4 sizes in ggml order: `shape[0]` columns (contiguous), `shape[1]` rows, … */
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Absolute byte in its file. */
  readonly offset: number;
  /** Index of its file among the splits. */
  readonly file: number;
}

const MAX_DIMS = 4;
/** Fewest bytes of an entry: a name of one byte, one dimension, type, offset. */
export const MIN_ENTRY_BYTES = 8 + 1 + 4 + 8 + 4 + 8;

/** A tensor whose offset still counts from the start of the data, and the byte of its table entry. */
interface Entry extends TensorInfo {
  readonly field: string;
  readonly at: number;
}

/**
 * Reads `count` entries and the padding after them.
 *
 * @param alignment Offsets are its multiples.
 * @param file Index of this file among the splits.
 * @returns The tensors in the order of their bytes.
 * @throws {GgufError} When entries contradict each other, the alignment or the size of the file.
 * @throws {UnsupportedModelError} When a tensor has a type without kernels.
 */
export async function readTensorTable(
  reader: ByteReader,
  count: number,
  alignment: number,
  file: number,
): Promise<TensorInfo[]> {
  const names = new Set<string>();
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const name = await readName(reader, `tensors[${i}]`, names);
    entries.push(await readEntry(reader, `tensors[${i}]`, name, alignment, file));
  }
  return place(reader, entries, Math.ceil(reader.position / alignment) * alignment);
}

async function readName(reader: ByteReader, field: string, names: Set<string>): Promise<string> {
  reader.begin(`${field}.name`);
  const name = decodeName(reader, await readString(reader, MAX_NAME_BYTES));
  if (names.has(name)) throw reader.error(`a second tensor is called ${quote(name)}`);
  names.add(name);
  return name;
}

async function readEntry(
  reader: ByteReader,
  field: string,
  name: string,
  alignment: number,
  file: number,
): Promise<Entry> {
  const shapeAt = reader.position;
  const shape = await readShape(reader, field);
  const type = await readType(reader, field, name);
  let bytes: number;
  try {
    bytes = tensorBytes(type, shape);
  } catch (error) {
    throw reader.error(`${quote(name)}: ${(error as Error).message}`, `${field}.shape`, shapeAt);
  }
  reader.begin(`${field}.offset`);
  await reader.need(8);
  const offset = reader.u64();
  if (offset % alignment !== 0) {
    throw reader.error(`${quote(name)} begins at ${offset}, wanted a multiple of the alignment ${alignment}`);
  }
  return { name, type, shape, bytes, offset, file, field, at: reader.fieldOffset };
}

async function readShape(reader: ByteReader, field: string): Promise<number[]> {
  reader.begin(`${field}.n_dims`);
  await reader.need(4);
  const nDims = reader.u32();
  if (nDims < 1 || nDims > MAX_DIMS) throw reader.error(`${nDims} dimensions, wanted 1 to ${MAX_DIMS}`);
  const shape: number[] = [];
  let product = 1;
  for (let i = 0; i < nDims; i++) {
    reader.begin(`${field}.shape`, i);
    await reader.need(8);
    const size = reader.u64();
    product *= size;
    if (size === 0) throw reader.error("a dimension is 0, wanted at least 1");
    // 4 bytes a weight at most, so the number of bytes is exact as well
    if (product > Number.MAX_SAFE_INTEGER / 4) {
      throw reader.error(`${product} weights are more than a file can hold`);
    }
    shape.push(size);
  }
  return shape;
}

async function readType(reader: ByteReader, field: string, name: string): Promise<number> {
  reader.begin(`${field}.type`);
  await reader.need(4);
  const type = reader.u32();
  if (ggmlTypes.has(type)) return type;
  throw new UnsupportedModelError(
    `${reader.file.name}: type of tensor ${quote(name)} (field ${field}.type, byte ${reader.fieldOffset})`,
    ggmlTypeName(type),
    Array.from(ggmlTypes.values(), (info) => info.name),
  );
}

/** Makes offsets absolute and checks that no byte belongs to two tensors or lies outside the file. */
function place(reader: ByteReader, entries: Entry[], dataOffset: number): TensorInfo[] {
  entries.sort((a, b) => a.offset - b.offset);
  let end = 0;
  let last = "";
  return entries.map(({ field, at, ...tensor }) => {
    const { name, bytes, offset } = tensor;
    if (offset < end) throw reader.error(`${quote(name)} overlaps ${quote(last)}`, `${field}.offset`, at);
    end = offset + bytes;
    last = name;
    if (dataOffset + end > (reader.size ?? Number.MAX_SAFE_INTEGER)) {
      const found = reader.size === undefined ? "no file is that long" : `the file has ${reader.size}`;
      throw reader.error(
        `${quote(name)} needs the bytes ${dataOffset + offset} to ${dataOffset + end}, but ${found}`,
        `${field}.offset`,
        at,
      );
    }
    return { ...tensor, offset: dataOffset + offset };
  });
}

function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
