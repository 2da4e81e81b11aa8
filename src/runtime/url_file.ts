/**
 * Files behind a URL. A connection that breaks or stalls is taken up again where it stopped, by a Range request:
 *
 *   read():  no connection?  request bytes=offset-   refused for good -> SourceError
 *            next piece      failed, early end, stall -> wait 1, 2, 4, … times the back-off, then again
 *                            a second stall, and no byte between the two -> SourceError
 *
 * Servers that ignore Range send everything again; what was read before is passed over. Size, and where the server
 * names one the entity tag, must stay the same over all connections, so that no two versions of a file are mixed.
 *
 * @module
 */
import { SourceError } from "../error.ts";
import { reason } from "./range_file.ts";
import type { ByteStream, SourceFile } from "../gguf/source.ts";
import { Stall, withinMs } from "./stall.ts";
import { contentLength } from "./stream_file.ts";

/** How a URL is fetched. */
export interface UrlOptions {
  /** Sent with every request, e.g. `Authorization`. */
  headers?: HeadersInit;
  /** Connections in a row that may fail before the file is given up. Default 6. */
  tries?: number;
  /** Wait after the first failure; it doubles with each. Default 250. */
  backoffMs?: number;
  /**
   * A connection without a byte for so long has failed; when the next one has none either, the file is given up. Default
   * 15,000.
   */
  stallMs?: number;
}

/** Default of `stallMs`. */
export const STALL_MS = 15_000;
/** Connections in a row that may be silent before the file is given up. */
export const MAX_STALLS = 2;

const MAX_BACKOFF_MS = 10_000;
/** A connection that delivered so many bytes has not failed in a row with the one before. */
const PROGRESS_BYTES = 2 ** 20;
/** Refusals that pass: timeout, too early, too many requests. All of 5xx count as such. */
const PASSING_STATUS = [408, 425, 429];

/** A file behind a URL. */
export function urlFile(url: URL, options: UrlOptions = {}): SourceFile {
  const remote: Remote = { url, options, size: undefined, tag: undefined };
  return {
    name: url.href,
    seekable: true,
    verified: false,
    async open(offset, signal) {
      const stream = new UrlStream(remote, offset);
      const stop = () => stream.close();
      signal?.addEventListener("abort", stop, { once: true });
      try {
        await stream.connect();
        return stream;
      } finally {
        signal?.removeEventListener("abort", stop);
      }
    },
  };
}

/** What is known of the file over all its connections. */
interface Remote {
  readonly url: URL;
  readonly options: UrlOptions;
  size: number | undefined;
  tag: string | undefined;
}

interface Connection {
  readonly body: ReadableStreamDefaultReader<Uint8Array>;
  readonly abort: AbortController;
  /** Bytes still to be passed over. */
  skip: number;
  delivered: number;
}

class UrlStream implements ByteStream {
  readonly #remote: Remote;
  readonly #closed = new AbortController();
  #offset: number;
  #connection: Connection | undefined;
  #failures = 0;
  #stalls = 0;

  constructor(remote: Remote, offset: number) {
    this.#remote = remote;
    this.#offset = offset;
  }

  get size(): number | undefined {
    return this.#remote.size;
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#offset !== this.size) {
      await this.connect();
      const connection = this.#connection!;
      try {
        const { done, value } = await this.#deadline(connection.abort, connection.body.read());
        if (done && this.size === undefined && connection.skip === 0) return undefined;
        if (done) throw new Error("the connection ended early");
        const piece = this.#take(connection, value);
        if (piece.length > 0) return piece;
      } catch (cause) {
        await this.#failed(cause);
      }
    }
    return undefined;
  }

  close(): void {
    this.#closed.abort(new SourceError("it was closed", this.#remote.url.href));
    this.#disconnect();
  }

  /** Sees to it that there is a connection, at the end of the file excepted. */
  async connect(): Promise<void> {
    while (this.#connection === undefined && this.#offset !== this.size) {
      try {
        this.#connection = await this.#request();
      } catch (cause) {
        await this.#failed(cause);
      }
    }
  }

  async #request(): Promise<Connection> {
    const { url, options } = this.#remote;
    const abort = new AbortController();
    this.#closed.signal.throwIfAborted();
    const headers = new Headers(options.headers);
    headers.set("range", `bytes=${this.#offset}-`);
    // a compressed body has no ranges
    headers.set("accept-encoding", "identity");
    const stop = () => abort.abort(this.#closed.signal.reason);
    this.#closed.signal.addEventListener("abort", stop, { once: true });
    try {
      const response = await this.#deadline(abort, fetch(url, { headers, signal: abort.signal }));
      const start = this.#start(response);
      if (response.body === null) throw this.#error(`HTTP status ${response.status} without a body`);
      return { body: response.body.getReader(), abort, skip: this.#offset - start, delivered: 0 };
    } catch (error) {
      abort.abort();
      throw error;
    } finally {
      this.#closed.signal.removeEventListener("abort", stop);
    }
  }

  /** Checks the head of an answer. @returns The offset of its first byte. */
  #start(response: Response): number {
    const { status, headers } = response;
    if (status === 416) {
      throw this.#error(
        this.#offset === 0 ? "the file is empty" : `HTTP status 416: it has no byte ${this.#offset}`,
      );
    }
    if (status >= 500 || PASSING_STATUS.includes(status)) throw new Error(`HTTP status ${status}`);
    if (!response.ok) throw this.#error(`HTTP status ${status} ${response.statusText}`.trimEnd());
    this.#settle("tag", headers.get("etag") ?? undefined);
    if (status !== 206) {
      this.#settle("size", contentLength(headers));
      return 0;
    }
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
    // the header is hidden from pages of another origin: then the range is taken to be the one asked for
    if (range === null) return this.#offset;
    if (range[2] !== "*") this.#settle("size", Number(range[2]));
    if (Number(range[1]) === this.#offset) return this.#offset;
    throw this.#error(`the server sent the bytes from ${range[1]} on, wanted ${this.#offset}`);
  }

  #settle<K extends "size" | "tag">(key: K, found: Remote[K]): void {
    const known = this.#remote[key];
    if (found === undefined || found === known) return;
    if (known !== undefined) {
      throw this.#error(`it changed while it was read: ${key} ${found}, before ${known}`);
    }
    this.#remote[key] = found;
  }

  #take(connection: Connection, value: Uint8Array): Uint8Array {
    const piece = value.subarray(connection.skip);
    connection.skip -= value.length - piece.length;
    connection.delivered += piece.length;
    this.#stalls = 0;
    this.#offset += piece.length;
    return piece;
  }

  /** Waits before the next try. @throws What can't pass, or the last of too many failures. */
  async #failed(cause: unknown): Promise<void> {
    if ((this.#connection?.delivered ?? 0) >= PROGRESS_BYTES) this.#failures = 0;
    this.#disconnect();
    this.#closed.signal.throwIfAborted();
    if (cause instanceof SourceError) throw cause;
    // no --allow-net in Deno: waiting does not help
    if ((cause as Error).name === "NotCapable") throw this.#error(reason(cause), { cause });
    const { tries = 6, backoffMs = 250 } = this.#remote.options;
    this.#failures++;
    if (cause instanceof Stall) this.#stalls++;
    if (this.#failures >= tries || this.#stalls >= MAX_STALLS) {
      const times = this.#failures === 1 ? "1 try" : `${this.#failures} tries`;
      const at = `can't be read at byte ${this.#offset} after ${times}`;
      throw this.#error(`${at}: ${fetchReason(cause)}`, { cause });
    }
    await pause(Math.min(backoffMs * 2 ** (this.#failures - 1), MAX_BACKOFF_MS), this.#closed.signal);
  }

  #disconnect(): void {
    // an abort alone leaves a body that has bytes waiting, and with it a process of Deno, alive
    this.#connection?.body.cancel().catch(() => {});
    this.#connection?.abort.abort();
    this.#connection = undefined;
  }

  #deadline<T>(abort: AbortController, promise: Promise<T>): Promise<T> {
    const { stallMs = STALL_MS } = this.#remote.options;
    return withinMs(stallMs, promise, (stall) => abort.abort(stall));
  }

  #error(message: string, options?: ErrorOptions): SourceError {
    return new SourceError(message, this.#remote.url.href, options);
  }
}

/** What broke a connection: `fetch` of Node and Deno says "fetch failed", and why in its cause. */
function fetchReason(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return cause instanceof Error ? `${reason(error)}: ${reason(cause)}` : reason(error);
}

/** Waits, unless the signal is aborted before. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
