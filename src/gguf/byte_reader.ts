/**
 * A pull reader over the pieces of one file. The parser asks for what it needs next and waits only when the bytes
 * have not arrived:
 *
 *   begin(field)              name what follows, for errors
 *   claim(n)                  refuse what the file can't hold, before anything is allocated for it
 *   need(n), u32(), …         small numbers; `need` returns at once when they are there
 *   bytes(n), append(to, n)   longer runs, in memory that grows with the bytes that arrived
 *   piece(n)                  weights: a view of what is there, copied by nobody
 *
 * Only a number that straddles two pieces is copied together, so pieces of any size give the same result.
 *
 * @module
 */
import { GgufError } from "../error.ts";
import type { ByteStream, SourceFile } from "./source.ts";
import { GrowingBytes } from "./growing_bytes.ts";

/** Most that `need` is asked for: more than any number of the format, and than an array's type and length together. */
const MAX_NEED_BYTES = 16;
const EMPTY = new Uint8Array(0);

/** Reads one file from front to back. Every error names the field begun last, and the byte it begins at. */
export class ByteReader {
  /** Aborting it rejects the next, or the pending, wait for bytes with its reason. */
  signal: AbortSignal | undefined;
  /** Byte of the file up to which fields may reach, where its size does not say so. */
  limit = Infinity;

  readonly file: SourceFile;
  #stream: ByteStream | undefined;
  #window: Uint8Array = EMPTY;
  #view: DataView = new DataView(EMPTY.buffer);
  /** Next unread byte of the window. */
  #at = 0;
  /** File offset of the window's first byte. */
  #windowOffset = 0;
  /** Rest of the piece whose first bytes completed a straddling number. */
  #rest: Uint8Array = EMPTY;
  readonly #carry = new Uint8Array(MAX_NEED_BYTES);
  #size: number | undefined;
  #field = "magic";
  #element: number | undefined;
  #fieldOffset = 0;

  constructor(file: SourceFile, signal?: AbortSignal) {
    this.file = file;
    this.signal = signal;
  }

  /** File offset of the next unread byte. */
  get position(): number {
    return this.#windowOffset + this.#at;
  }

  /** Bytes of the file, where its source knows them. */
  get size(): number | undefined {
    return this.#size;
  }

  /** Where the field begun last begins. */
  get fieldOffset(): number {
    return this.#fieldOffset;
  }

  /** Names what is read next, for errors. */
  begin(field: string, element?: number): void {
    this.#field = field;
    this.#element = element;
    this.#fieldOffset = this.position;
  }

  /** An error about the field begun last, or about another one. */
  error(message: string, field = this.#fieldName(), offset = this.#fieldOffset): GgufError {
    return new GgufError(`${this.file.name}: ${message}`, field, offset);
  }

  /** @throws {GgufError} When the file can't hold `n` more bytes. */
  claim(n: number, what: string): void {
    const end = Math.min(this.#size ?? Infinity, this.limit);
    if (this.position + n <= end) return;
    const bound = end === this.limit
      ? `headers are read up to byte ${end}`
      : `the file has ${end - this.position} more`;
    throw this.error(`${what} of ${n} bytes, but ${bound}`);
  }

  /** Whether `n` bytes can be read without waiting. */
  has(n: number): boolean {
    return this.#window.length - this.#at >= n;
  }

  /** Waits until `n <= 16` bytes can be read at once. @throws {GgufError} At the end of the file. */
  async need(n: number): Promise<void> {
    if (this.has(n)) return;
    const start = this.position;
    let have = this.#window.length - this.#at;
    this.#carry.set(this.#window.subarray(this.#at));
    while (have < n) {
      const piece = await this.#pull() ?? this.#ended(start + have);
      const part = piece.subarray(0, n - have);
      this.#carry.set(part, have);
      have += part.length;
      this.#rest = piece.subarray(part.length);
    }
    this.#show(this.#carry.subarray(0, n), start);
  }

  u8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  /** A 64-bit count, length or offset. @throws {GgufError} When it passes 2^53 - 1. */
  u64(): number {
    const at = this.#skip(8);
    const value = this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
    if (Number.isSafeInteger(value)) return value;
    throw this.error(`${this.#view.getBigUint64(at, true)} is no size that a file can have`);
  }

  /** The bytes of the next `n`, by whichever accessor of `DataView` fits; `need(n)` comes first. */
  scalar<T>(n: number, read: (view: DataView, at: number) => T): T {
    return read(this.#view, this.#skip(n));
  }

  /** A copy of the next `n` bytes. @throws {GgufError} When the file ends before. */
  async bytes(n: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.has(n)) return new Uint8Array(this.#window.subarray(this.#at, this.#at += n));
    const bytes = new GrowingBytes(n);
    await this.append(bytes, n);
    return bytes.finish();
  }

  /** Appends the next `n` bytes. @throws {GgufError} When the file ends before. */
  async append(to: GrowingBytes, n: number): Promise<void> {
    for (let left = n; left > 0;) {
      const piece = await this.piece(left);
      to.appendPart(piece, 0, piece.length);
      left -= piece.length;
    }
  }

  /** Appends the next length-prefixed string, if all of it is here: most are, and waiting costs more than copying. */
  appendStringNow(to: GrowingBytes): boolean {
    const at = this.#at + 8;
    if (at > this.#window.length || this.#view.getUint32(at - 4, true) !== 0) return false;
    const end = at + this.#view.getUint32(at - 8, true);
    if (end > this.#window.length || this.#windowOffset + end > this.limit) return false;
    to.appendPart(this.#window, at, end);
    this.#at = end;
    return true;
  }

  /** A view of 1 to `n` next bytes, valid until the next call. @throws {GgufError} When the file ends before. */
  async piece(n: number): Promise<Uint8Array> {
    if (!this.has(1) && !await this.#next()) this.#ended(this.position);
    return this.#window.subarray(this.#at, this.#at = Math.min(this.#at + n, this.#window.length));
  }

  /** Reads on to the given file offset. @throws {GgufError} When the file ends before. */
  async skipTo(offset: number): Promise<void> {
    while (this.position < offset) await this.piece(offset - this.position);
  }

  /** Reads to the end, for sources that check there. */
  async drain(): Promise<void> {
    do {
      this.#at = this.#window.length;
    } while (await this.#next());
  }

  /** Lets the connection go until the next read, where the file can be opened again in its middle. */
  pause(): void {
    if (!this.file.seekable) return;
    const position = this.position;
    this.close();
    this.#rest = EMPTY;
    this.#show(EMPTY, position);
  }

  close(): void {
    this.#stream?.close();
    this.#stream = undefined;
  }

  /** Opens the file, so that its size is known. */
  async open(): Promise<void> {
    if (this.#stream !== undefined) return;
    this.#stream = await settled(
      this.file.open(this.position, this.signal),
      this.signal,
      (late) => late.close(),
    );
    this.#size = this.#stream.size;
  }

  #skip(n: number): number {
    const at = this.#at;
    this.#at += n;
    return at;
  }

  /** Shows the next piece; false at the end. Only called when the window is used up. */
  async #next(): Promise<boolean> {
    const piece = await this.#pull();
    if (piece !== undefined) this.#show(piece, this.position);
    return piece !== undefined;
  }

  async #pull(): Promise<Uint8Array | undefined> {
    const rest = this.#rest;
    this.#rest = EMPTY;
    if (rest.length > 0) return rest;
    await this.open();
    try {
      return await settled(this.#stream!.read(), this.signal);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #ended(at: number): never {
    throw this.error(`the file ends at byte ${at}, inside this field`);
  }

  #show(window: Uint8Array, offset: number): void {
    this.#window = window;
    this.#view = new DataView(window.buffer, window.byteOffset, window.byteLength);
    this.#at = 0;
    this.#windowOffset = offset;
  }

  #fieldName(): string {
    return this.#element === undefined ? this.#field : `${this.#field}[${this.#element}]`;
  }
}

/** The outcome of a promise, or the reason of the signal, whichever is first. What comes too late goes to `drop`. */
function settled<T>(promise: Promise<T>, signal?: AbortSignal, drop?: (value: T) => void): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      promise.then(drop, () => {});
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
