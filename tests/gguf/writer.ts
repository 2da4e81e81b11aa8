/**
 * A small GGUF writer for tests: writes what it is told, right or wrong.
 *
 * @module
 */
import { tensorBytes } from "../../src/gguf/ggml_type.ts";
import { ValueType } from "../../src/gguf/value.ts";

export type TypeName = keyof typeof ValueType;

/** A value with its type; an array's elements share one type. */
export type Value =
  | { type: Exclude<TypeName, "ARRAY">; value: string | number | bigint | boolean }
  | { type: "ARRAY"; of: TypeName; values: readonly unknown[] };

export interface WriteTensor {
  name: string;
  type: number;
  shape: readonly number[];
  /** Default: filled with a pattern of its index. */
  data?: Uint8Array;
  /** In the data section; default: after the tensor before it. */
  offset?: number;
}

export interface WriteOptions {
  version?: number;
  magic?: string;
  metadata?: readonly (readonly [key: string, value: Value])[];
  tensors?: readonly WriteTensor[];
  /** Written to `general.alignment` where given. */
  alignment?: number;
  nTensors?: bigint;
  nPairs?: bigint;
}

/** Bytes appended in little-endian order. */
export class Bytes {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  raw(bytes: Uint8Array): this {
    while (this.#length + bytes.length > this.#bytes.length) {
      this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(2 * this.#bytes.length));
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  u32(value: number): this {
    return this.raw(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number | bigint): this {
    return this.raw(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  string(value: string): this {
    const bytes = new TextEncoder().encode(value);
    return this.u64(bytes.length).raw(bytes);
  }

  pad(alignment: number): this {
    return this.raw(new Uint8Array((alignment - this.#length % alignment) % alignment));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/** A GGUF file. */
export function writeGguf(options: WriteOptions): Uint8Array<ArrayBuffer> {
  const { tensors = [], alignment = 32 } = options;
  const metadata = [...options.metadata ?? []];
  if (options.alignment !== undefined) {
    metadata.push(["general.alignment", { type: "UINT32", value: alignment }]);
  }
  const out = new Bytes().raw(new TextEncoder().encode(options.magic ?? "GGUF")).u32(options.version ?? 3);
  out.u64(options.nTensors ?? tensors.length).u64(options.nPairs ?? metadata.length);
  for (const [key, value] of metadata) writeValue(out.string(key), value);
  const data = new Bytes();
  tensors.forEach((tensor, index) => {
    out.string(tensor.name).u32(tensor.shape.length);
    for (const size of tensor.shape) out.u64(size);
    out.u32(tensor.type).u64(tensor.offset ?? data.length);
    if (tensor.offset === undefined) data.raw(tensorData(tensor, index)).pad(alignment);
  });
  if (tensors.length > 0) out.pad(alignment).raw(data.finish());
  return out.finish();
}

/** The bytes that `writeGguf` gives a tensor. */
export function tensorData(tensor: WriteTensor, index: number): Uint8Array {
  return tensor.data ??
    Uint8Array.from(
      { length: tensorBytes(tensor.type, tensor.shape) },
      (_, i) => (i * 31 + index * 7 + 1) & 255,
    );
}

function writeValue(out: Bytes, value: Value): void {
  out.u32(ValueType[value.type]);
  if (value.type !== "ARRAY") writeScalar(out, value.type, value.value);
  else writeArray(out, value.of, value.values);
}

function writeArray(out: Bytes, of: TypeName, values: readonly unknown[]): void {
  out.u32(ValueType[of]).u64(values.length);
  for (const value of values) {
    if (of !== "ARRAY") writeScalar(out, of, value as string | number | bigint | boolean);
    else writeArray(out, (value as { of: TypeName }).of, (value as { values: unknown[] }).values);
  }
}

function writeScalar(out: Bytes, type: TypeName, value: string | number | bigint | boolean): void {
  if (type === "STRING") return void out.string(String(value));
  const number = type === "UINT64" || type === "INT64" ? 0 : Number(value);
  const buffer = {
    UINT8: () => Uint8Array.of(number),
    INT8: () => Int8Array.of(number),
    UINT16: () => Uint16Array.of(number),
    INT16: () => Int16Array.of(number),
    UINT32: () => Uint32Array.of(number),
    INT32: () => Int32Array.of(number),
    FLOAT32: () => Float32Array.of(number),
    BOOL: () => Uint8Array.of(number),
    UINT64: () => BigUint64Array.of(BigInt(value)),
    INT64: () => BigInt64Array.of(BigInt(value)),
    FLOAT64: () => Float64Array.of(number),
    ARRAY: () => new Uint8Array(0),
  }[type]().buffer;
  out.raw(new Uint8Array(buffer));
}
