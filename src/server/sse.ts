/**
 * Server-sent events, one an answer's chunk.
 *
 * @module
 */
import { toApiError } from "./api_error.ts";

/** While nothing is said, a comment goes out so often: a client that has gone is noticed by a failed write. */
const HEARTBEAT_MS = 1000;

/**
 * A stream of events as the body of a response. Each pull computes one token, so a slow reader slows the model. An error
 * becomes the last event, since the status has been sent by then.
 *
 * @param left Called when the reader has gone.
 */
export function eventBody(events: AsyncGenerator<unknown>, left: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let heartbeat: ReturnType<typeof setInterval>;
  return new ReadableStream({
    start(controller) {
      heartbeat = setInterval(() => controller.enqueue(encoder.encode(": waiting\n\n")), HEARTBEAT_MS);
    },
    async pull(controller) {
      const send = (data: string) => controller.enqueue(encoder.encode(`data: ${data}\n\n`));
      try {
        const { done, value } = await events.next();
        clearInterval(heartbeat);
        if (!done) return send(JSON.stringify(value));
        send("[DONE]");
      } catch (error) {
        clearInterval(heartbeat);
        send(JSON.stringify(toApiError(error)));
      }
      controller.close();
    },
    async cancel() {
      clearInterval(heartbeat);
      left();
      await events.return(undefined).catch(() => {});
    },
  }, { highWaterMark: 0 });
}
