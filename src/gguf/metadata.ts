/**
 * What a GGUF header says before any weight: typed look-ups over its key-value pairs.
 * Arrays stay flat (typed arrays, one blob for strings): 49,000 tokens must not become 49,000 JS strings.
 *
 * @module
 */
import { GgufError } from "../error.ts";

/** Strings in one blob: string `i` is `bytes.subarray(offsets[i], offsets[i + 1])`, UTF-8. */
export interface GgufStrings {
  readonly length: number;
  readonly bytes: Uint8Array;
  /** `length + 1` offsets into `bytes`. */
  readonly offsets: Uint32Array;
}

/** A numeric GGUF array, kept in the typed array of its element type (bool as Uint8Array). */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A GGUF array: flat, but for arrays of arrays. */
export type GgufArray = GgufNumbers | GgufStrings | readonly GgufArray[];

/** Any value of a key. A 64-bit integer is a `bigint` only where a `number` would round it. */
export type GgufValue = string | number | bigint | boolean | GgufArray;

/** A value and the byte of its file where it starts. */
export interface MetadataEntry {
  readonly value: GgufValue;
  readonly offset: number;
}

/**
 * The key-value pairs of a GGUF header, by the file's own keys. A look-up of the wrong type, or of a missing key
 * without a fallback, throws a {@link GgufError} that names the key.
 *
 * @example
 * ```ts
 * import { Metadata } from "./metadata.ts";
 *
 * const metadata = new Metadata(new Map([["llama.block_count", { value: 5, offset: 24 }]]));
 * metadata.number("llama.block_count"); // 5
 * metadata.number("llama.rope.freq_base", 10000); // 10000
 * ```
 */
export class Metadata {
  readonly #entries: ReadonlyMap<string, MetadataEntry>;

  constructor(entries: ReadonlyMap<string, MetadataEntry>) {
    this.#entries = entries;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The keys in the order of the file. */
  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  /** The value as it was read, `undefined` where the key is missing. */
  get(key: string): GgufValue | undefined {
    return this.#entries.get(key)?.value;
  }

  /** The byte of the file where the value starts, 0 where the key is missing. */
  offset(key: string): number {
    return this.#entries.get(key)?.offset ?? 0;
  }

  /** @throws {GgufError} When the value is no string, or is missing and there is no fallback. */
  string(key: string, fallback?: string): string {
    const value = this.get(key) ?? fallback;
    return typeof value === "string" ? value : this.#refuse(key, "a string");
  }

  /** @throws {GgufError} When the value is no number that a double holds exactly, or is missing without fallback. */
  number(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback;
    return typeof value === "number" ? value : this.#refuse(key, "a number of at most 53 bits");
  }

  /** @throws {GgufError} When the value is no boolean, or is missing and there is no fallback. */
  boolean(key: string, fallback?: boolean): boolean {
    const value = this.get(key) ?? fallback;
    return typeof value === "boolean" ? value : this.#refuse(key, "a boolean");
  }

  /** A flat array of numbers (of booleans: bytes 0 and 1); `undefined` where the key is missing.
   * @throws {GgufError} When the value is anything else. */
  numbers(key: string): GgufNumbers | undefined {
    const value = this.get(key);
    return value === undefined || isNumbers(value) ? value : this.#refuse(key, "an array of numbers");
  }

  /** A flat array of strings; `undefined` where the key is missing.
   * @throws {GgufError} When the value is anything else. */
  strings(key: string): GgufStrings | undefined {
    const value = this.get(key);
    return value === undefined || isStrings(value) ? value : this.#refuse(key, "an array of strings");
  }

  #refuse(key: string, wanted: string): never {
    const entry = this.#entries.get(key);
    if (entry === undefined) throw new GgufError(`key is missing, wanted ${wanted}`, key, 0);
    throw new GgufError(`value is ${describe(entry.value)}, wanted ${wanted}`, key, entry.offset);
  }
}

/** Whether a value is a flat array of numbers. */
export function isNumbers(value: GgufValue): value is GgufNumbers {
  return ArrayBuffer.isView(value);
}

/** Whether a value is a flat array of strings. */
export function isStrings(value: GgufValue): value is GgufStrings {
  return typeof value === "object" && !ArrayBuffer.isView(value) && !Array.isArray(value);
}

function describe(value: GgufValue): string {
  if (typeof value !== "object") return `the ${typeof value} ${String(value).slice(0, 40)}`;
  if (isNumbers(value)) return `an array of ${value.length} numbers`;
  return `an array of ${value.length} ${isStrings(value) ? "strings" : "arrays"}`;
}
