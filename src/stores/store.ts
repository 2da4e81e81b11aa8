/**
 * Where sessions are kept between requests, by the id of their conversation.
 *
 * @module
 */
import { OptionError } from "../error.ts";

/**
 * A snapshot that can be read once, in chunks of at most so many bytes, each valid until the next is asked for:
 * `(max) => session.saveChunks(max)`.
 */
export type SnapshotChunks = (maxBytes: number) => AsyncIterable<Uint8Array<ArrayBuffer>>;

/** A place that keeps the latest snapshot of each conversation. */
export interface SessionStore {
  /** The snapshot in chunks, for `session.restoreFrom`; `undefined` where there is none. */
  load(id: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Puts a snapshot in place of the last one, which stays until all of the new one is there. */
  save(id: string, chunks: SnapshotChunks): Promise<void>;
  /** Forgets a conversation, if there is one. */
  delete(id: string): Promise<void>;
}

/**
 * Lets an id pass that every store can have as a part of its keys.
 *
 * @throws {OptionError} When it is another one.
 */
export function checkSessionId(id: string): string {
  if (/^[\w.:@-]{1,128}$/.test(id)) return id;
  throw new OptionError("session", id, "1 to 128 letters, digits and any of . _ : @ -");
}

/** Bytes that are read of a stream at once. */
const READ_BYTES = 2 ** 18;

/** A stream of bytes as chunks, each valid until the next is asked for; leaving them cancels it. */
export async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(READ_BYTES);
  try {
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      if (done || value === undefined) return;
      yield value;
      buffer = value.buffer;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
