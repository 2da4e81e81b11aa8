/**
 * A file behind a URL on loopback, with ranges, for any origin; it can be cut off.
 *
 * @module
 */

/** A server of one file. */
export interface ModelServer extends AsyncDisposable {
  readonly url: string;
  /** Bytes that were asked for, request by request. */
  readonly asked: { readonly from: number; readonly status: number }[];
  /** Answers stop, without ending, before this byte of the file. */
  stallAt: number;
  /** No request is answered any more, and no answer goes on. */
  cut(): Promise<void>;
}

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "*",
  "access-control-expose-headers": "content-range, etag",
};

/** Bytes of a piece: a stall is exact to so many. */
const PIECE_BYTES = 2 ** 16;

/** Serves `bytes` as `model.gguf`. */
export function serveModel(bytes: Uint8Array<ArrayBuffer>): ModelServer {
  const abort = new AbortController();
  const asked: { from: number; status: number }[] = [];
  const served = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {}, signal: abort.signal },
    (request) => {
      if (request.method === "OPTIONS") return new Response(null, { headers: CORS });
      const range = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "");
      const from = Number(range?.[1] ?? 0);
      const status = range === null ? 200 : 206;
      asked.push({ from, status });
      const headers = {
        ...CORS,
        etag: `"${bytes.length}"`,
        "content-length": `${bytes.length - from}`,
        "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
      };
      return new Response(pieces(from), { status, headers });
    },
  );
  const pieces = (from: number) =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        const end = Math.min(from + PIECE_BYTES, bytes.length, server.stallAt);
        if (from < end) controller.enqueue(bytes.subarray(from, end));
        from = Math.max(from, end);
        if (from === bytes.length) controller.close();
        // a stalled answer waits until the server goes
        else if (from >= server.stallAt) return new Promise(() => {});
      },
    });
  const cut = async () => {
    abort.abort();
    await served.finished;
  };
  const server: ModelServer = {
    url: `http://127.0.0.1:${served.addr.port}/model.gguf`,
    asked,
    stallAt: Infinity,
    cut,
    [Symbol.asyncDispose]: cut,
  };
  return server;
}
