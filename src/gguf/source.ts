/**
 * What the GGUF reader asks of those who bring the bytes: files that are read once, from front to back.
 *
 * @module
 */

/** The bytes of one file from some offset on. */
export interface ByteStream {
  /** Bytes of the whole file, where they are known before its end. */
  readonly size: number | undefined;
  /**
   * The next piece, never empty; `undefined` at the end. It is valid until the next call.
   * @throws {SourceError} When the bytes can't be had.
   */
  read(): Promise<Uint8Array | undefined>;
  /** Gives up the connection or handle; a pending `read` may then reject. */
  close(): void;
}

/** One file of a model. */
export interface SourceFile {
  /** A path, URL or description, for messages and progress. */
  readonly name: string;
  /** Whether `open` may be called again and at any offset. */
  readonly seekable: boolean;
  /** Whether it is to be read to its very end, because its size or digest is checked there. */
  readonly verified: boolean;
  /**
   * @param signal Aborting it gives up the opening; the stream outlives it.
   * @throws {SourceError} When there is no such file, or it can't be opened there.
   */
  open(offset: number, signal?: AbortSignal): Promise<ByteStream>;
}

/** A model: one file, or its split files in order. */
export interface Source {
  readonly name: string;
  /** Files that were given; `undefined` where the others' names follow from the first one's. */
  readonly count: number | undefined;
  /** @throws {SourceError} When file `index` (from 0) was not given and its name can't be derived. */
  file(index: number): SourceFile;
}

/** How far loading has come, in bytes over all files of the model. */
export interface Progress {
  readonly loaded: number;
  readonly total: number;
  /** The file being read. */
  readonly file: string;
}
