/**
 * Replies of a Worker whose reader may leave.
 *
 * @module
 */
import { identityStream } from "./identity_stream.ts";

/** The part of a Worker's execution context that is needed here. */
export interface WorkerContext {
  waitUntil(promise: Promise<unknown>): void;
}

/**
 * A stream as the body of a Worker's response; text becomes UTF-8. A Worker drops a handler's work where it stands when
 * the client goes: no `cancel`, no `finally`, and what the work held of a shared model would be lost for good. Here the
 * source is cancelled instead, and the Worker lives until that has ended.
 *
 * @example
 * ```ts ignore
 * return new Response(guardedBody(generate(model, prompt).textStream, ctx));
 * ```
 */
export function guardedBody(
  source: ReadableStream<string> | ReadableStream<Uint8Array>,
  context: WorkerContext,
): ReadableStream<Uint8Array> {
  const { readable, writable } = identityStream();
  context.waitUntil(pump(source.getReader(), writable.getWriter()));
  return readable;
}

/** By hand: workerd's own pipes do not always cancel their source. */
async function pump(
  reader: ReadableStreamDefaultReader<string | Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  const encoder = new TextEncoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      await writer.write(typeof value === "string" ? encoder.encode(value) : value);
    }
    await writer.close();
  } catch (error) {
    await Promise.allSettled([reader.cancel(error), writer.abort(error)]);
  }
}
