/**
 * Files that pass by once: a `ReadableStream`, the body of a `Response`.
 *
 * @module
 */
import { SourceError } from "../error.ts";
import { reason } from "./range_file.ts";
import type { ByteStream, SourceFile } from "../gguf/source.ts";
import { withinMs } from "./stall.ts";

/** The body of a response that was fetched already. It is given up when no byte comes for `stallMs`. */
export function responseFile(response: Response, stallMs: number): SourceFile {
  const name = response.url || "response";
  const open = () => {
    if (!response.ok) {
      throw new SourceError(`HTTP status ${response.status} ${response.statusText}`.trimEnd(), name);
    }
    if (response.body === null) throw new SourceError("the response has no body", name);
    return response.body;
  };
  return onceFile(name, open, contentLength(response.headers), stallMs);
}

/** A stream of bytes. */
export function streamFile(stream: ReadableStream<Uint8Array>): SourceFile {
  return onceFile("stream", () => stream, undefined);
}

/** The size that the headers promise for the bytes as they are delivered, if they do. */
export function contentLength(headers: Headers): number | undefined {
  // the length is that of the encoded bytes, the body is decoded
  const encoding = headers.get("content-encoding") ?? "identity";
  const length = headers.get("content-length");
  return encoding === "identity" && length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}

function onceFile(
  name: string,
  open: () => ReadableStream<Uint8Array>,
  size: number | undefined,
  stallMs?: number,
): SourceFile {
  return {
    name,
    seekable: false,
    verified: false,
    // deno-lint-ignore require-await -- a refusal is a rejection, as with any other file
    async open() {
      const stream = open();
      if (stream.locked) throw new SourceError("it is being read already, or was read before", name);
      return new OnceStream(name, stream.getReader(), size, stallMs);
    },
  };
}

class OnceStream implements ByteStream {
  constructor(
    private readonly name: string,
    private readonly reader: ReadableStreamDefaultReader<Uint8Array>,
    readonly size: number | undefined,
    private readonly stallMs: number | undefined,
  ) {}

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const { done, value } = await this.#next().catch((cause) => {
        throw new SourceError(`can't be read: ${reason(cause)}`, this.name, { cause });
      });
      if (done) return undefined;
      if (!(value instanceof Uint8Array)) {
        throw new SourceError(`a piece is ${typeof value}, wanted bytes`, this.name);
      }
      if (value.length > 0) return value;
    }
  }

  close(): void {
    this.reader.cancel().catch(() => {});
  }

  #next(): Promise<ReadableStreamReadResult<Uint8Array>> {
    const next = this.reader.read();
    return this.stallMs === undefined ? next : withinMs(this.stallMs, next, () => this.close());
  }
}
