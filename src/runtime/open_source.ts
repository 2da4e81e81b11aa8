/**
 * One function for all that a model can be read from.
 *
 * @module
 */
import { OptionError, SourceError } from "../error.ts";
import { checkedFile } from "./checked_file.ts";
import { hasDenoFiles, openDenoFile } from "./deno.ts";
import { hasNodeFiles, openNodeFile } from "./node.ts";
import { rangeFile, type RangeReader } from "./range_file.ts";
import type { Source, SourceFile } from "../gguf/source.ts";
import { expectedFiles, type SourceOptions } from "./source_options.ts";
import { splitName } from "./split_name.ts";
import { responseFile, streamFile } from "./stream_file.ts";
import { MAX_STALLS, STALL_MS, urlFile, type UrlOptions } from "./url_file.ts";

/** One file: a path or URL, an answer of `fetch`, a stream, bytes, or anything with `read(offset, length)`. */
export type FileInput =
  | string
  | URL
  | Response
  | ReadableStream<Uint8Array>
  | Blob
  | ArrayBuffer
  | ArrayBufferView
  | RangeReader;

/** A model: one file, from whose name those of further splits follow, all split files in order, or a `CachedSource`. */
export type ModelInput = FileInput | readonly FileInput[] | Source;

const INPUTS =
  "a path, URL, Response, ReadableStream, Blob, ArrayBuffer, typed array, {size?, read(offset, length)} or source";

/** What can be fetched, and files. */
const SCHEMES = ["https:", "http:", "file:", "blob:", "data:"];

/**
 * A source over any input. Nothing is opened yet. A string with `://` is a URL, any other a path; paths need Deno,
 * Node or Bun.
 *
 * @throws {OptionError} When the input is nothing of that, or a digest is no SHA-256.
 *
 * @example
 * ```ts
 * import { openSource } from "./open_source.ts";
 *
 * const source = openSource("models/tiny-00001-of-00002.gguf");
 * source.file(1).name; // "models/tiny-00002-of-00002.gguf"
 * ```
 */
export function openSource(input: ModelInput, options: SourceOptions = {}): Source {
  const expected = expectedFiles(options);
  const check = (file: SourceFile, index: number) => checkedFile(file, expected(index));
  if (isSource(input)) {
    // it may keep what it has read: what is not wanted has to be refused before
    const given = options.size ?? options.sha256;
    if (given !== undefined) {
      throw new OptionError("size or sha256", given, "to be given to the source itself");
    }
    return input;
  }
  if (Array.isArray(input)) {
    if (input.length === 0) throw new OptionError("model", input, "at least one file");
    const files = input.map((one, index) => check(openFile(one, options), index));
    return { name: files[0].name, count: files.length, file: (index) => files[index] };
  }
  if (input === "") refuse(input);
  const one = input as FileInput;
  const sibling = nameOf(one);
  if (sibling !== undefined) {
    const file = (index: number) => check(openFile(sibling(index), options), index);
    return { name: file(0).name, count: undefined, file };
  }
  const file = check(openFile(one, options), 0);
  return { name: file.name, count: 1, file: () => file };
}

/** Where an input is a name: the name of file `index` of its split. */
function nameOf(input: FileInput): ((index: number) => string | URL) | undefined {
  const url = toUrl(input);
  if (url !== undefined) {
    return (index) => {
      const sibling = new URL(url);
      sibling.pathname = splitName(url.pathname, index);
      return sibling;
    };
  }
  return typeof input === "string" ? (index) => splitName(input, index) : undefined;
}

function isSource(input: ModelInput): input is Source {
  return typeof (input as Partial<Source> | null)?.file === "function";
}

function openFile(input: FileInput, options: UrlOptions): SourceFile {
  const url = toUrl(input);
  if (url !== undefined && url.protocol !== "file:") return urlFile(url, options);
  if (url !== undefined) return pathFile(url.href, url);
  if (typeof input === "string") return pathFile(input, input);
  if (input instanceof Response) return responseFile(input, MAX_STALLS * (options.stallMs ?? STALL_MS));
  if (input instanceof ReadableStream) return streamFile(input);
  const reader = toReader(input);
  return rangeFile(reader.name ?? "bytes", () => ({
    size: reader.size,
    read: (offset, length) => reader.read(offset, length),
    close: () => {},
  }));
}

function toUrl(input: FileInput): URL | undefined {
  const named = typeof input === "string" && /^[a-z][a-z0-9+.-]*:\/\//i.test(input);
  if (!(named || input instanceof URL)) return undefined;
  const url = typeof input === "string" ? URL.parse(input) ?? refuse(input) : input;
  if (SCHEMES.includes(url.protocol)) return url;
  throw new OptionError("model", url.href, `a URL of ${SCHEMES.join(", ")}`);
}

function pathFile(name: string, path: string | URL): SourceFile {
  return rangeFile(name, () => {
    if (hasDenoFiles()) return openDenoFile(path);
    if (hasNodeFiles()) return openNodeFile(path);
    throw new SourceError("this runtime has no files", name);
  });
}

function toReader(input: unknown): RangeReader {
  if (input instanceof Blob) {
    const name = input instanceof File ? input.name : "blob";
    return { name, size: input.size, read: (at, n) => input.slice(at, at + n).arrayBuffer() };
  }
  if (input instanceof ArrayBuffer) return toReader(new Uint8Array(input));
  if (ArrayBuffer.isView(input)) {
    const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    return { size: bytes.length, read: (at, n) => bytes.subarray(at, at + n) };
  }
  if (typeof (input as Partial<RangeReader> | undefined)?.read === "function") return input as RangeReader;
  return refuse(input === null ? "null" : input === undefined ? undefined : typeof input);
}

function refuse(found: string | undefined): never {
  throw new OptionError("model", found, INPUTS);
}
