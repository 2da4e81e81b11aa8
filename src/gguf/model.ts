/**
 * A model of one or several GGUF files: its headers as one record, then its weights as one stream.
 *
 * @module
 */
import { SourceError } from "../error.ts";
import type { Source } from "./source.ts";
import { ByteReader } from "./byte_reader.ts";
import { type Header, readHeader } from "./header.ts";
import type { Metadata } from "./metadata.ts";
import { checkSplit, checkTensors, countFiles } from "./split.ts";
import { type StreamOptions, streamTensors, type TensorSink } from "./stream.ts";
import type { TensorInfo } from "./tensor.ts";

/** What the headers say. */
export interface GgufModel {
  readonly version: number;
  /** The keys of the first file. */
  readonly metadata: Metadata;
  /** In the order of their bytes, file by file. */
  readonly tensors: readonly TensorInfo[];
  readonly alignment: number;
  /** Bytes of all files, up to the end of their last tensors. */
  readonly fileBytes: number;
}

/** A model whose headers are read and whose weights are not. */
export interface OpenModel {
  readonly model: GgufModel;
  /**
   * Reads the weights, once.
   * @throws {GgufError} When a file ends inside a tensor.
   * @throws {SourceError} When bytes can't be had, or size or digest differ.
   */
  streamTensors(sink: TensorSink, options?: StreamOptions): Promise<void>;
  /** Gives up connections and handles. */
  close(): void;
}

/**
 * Reads the headers of all files of a model, in pieces as they arrive, and no weights.
 *
 * @throws {GgufError} When a file can't be what it claims.
 * @throws {SourceError} When bytes can't be had.
 * @throws {UnsupportedModelError} When version, byte order or a tensor type is not supported.
 *
 * @example
 * ```ts
 * import { openModel } from "./model.ts";
 * import { openSource } from "../runtime/open_source.ts";
 *
 * // the smallest GGUF file there is: version 3, no tensors, no keys
 * const file = new Uint8Array(24);
 * file.set([...new TextEncoder().encode("GGUF"), 3]);
 * const { model } = await openModel(openSource(file));
 * model.tensors.length; // 0
 * ```
 */
export async function openModel(source: Source, options: { signal?: AbortSignal } = {}): Promise<OpenModel> {
  const readers: ByteReader[] = [];
  const close = () => readers.forEach((reader) => reader.close());
  let model: GgufModel;
  try {
    model = await readHeaders(source, readers, options.signal);
  } catch (error) {
    close();
    throw error;
  }
  let streamed = false;
  return {
    model,
    close,
    async streamTensors(sink, options = {}) {
      if (streamed) throw new SourceError("the weights were read already", source.name);
      streamed = true;
      try {
        await streamTensors(model.tensors, model.fileBytes, readers, sink, options);
      } finally {
        close();
      }
    },
  };
}

async function readHeaders(source: Source, readers: ByteReader[], signal?: AbortSignal): Promise<GgufModel> {
  const headers: Header[] = [];
  let nFiles = 1;
  for (let i = 0; i < nFiles; i++) {
    const reader = new ByteReader(source.file(i), signal);
    readers.push(reader);
    const header = await readHeader(reader, i);
    headers.push(header);
    if (i === 0) nFiles = countFiles(source, header.metadata);
    // the first file is read on at once; connections to the others would only wait
    else reader.pause();
    if (nFiles > 1) checkSplit(reader, header.metadata, i, nFiles);
  }
  const { version, metadata, alignment } = headers[0];
  const tensors = headers.flatMap((header) => header.tensors);
  checkTensors(metadata, tensors);
  const fileBytes = readers.reduce((sum, reader, i) => sum + endOf(reader, headers[i]), 0);
  return { version, metadata, tensors, alignment, fileBytes };
}

function endOf(reader: ByteReader, header: Header): number {
  const last = header.tensors.at(-1);
  return last === undefined ? reader.position : last.offset + last.bytes;
}
