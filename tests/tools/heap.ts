/**
 * JavaScript heap of an isolate in workerd, seen through its inspector.
 *
 * @module
 */

/** Bytes as V8's `Runtime.getHeapUsage` tells them. */
export interface HeapUsage {
  /** Objects, live or not collected yet. */
  readonly usedSize: number;
  /** What V8 has taken for them. */
  readonly totalSize: number;
  /** Buffers outside of the heap: `ArrayBuffer`s and WebAssembly memory. */
  readonly backingStorageSize: number;
  /** Objects of the runtime. */
  readonly embedderHeapUsedSize: number;
}

/** Asks again and again, as often as the isolate answers: between two turns of its event loop. */
export class HeapWatch implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #closed: Promise<unknown>;
  readonly samples: HeapUsage[] = [];

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.addEventListener("message", ({ data }) => {
      const { result } = JSON.parse(data);
      if (result?.usedSize === undefined) return;
      this.samples.push(result);
      setTimeout(() => this.#ask(), 5);
    });
    this.#ask();
  }

  /** @param inspector URL of workerd's inspector. */
  static async open(inspector: string): Promise<HeapWatch> {
    const isolates = await (await fetch(new URL("/json", inspector.replace("ws:", "http:")))).json();
    // the others are miniflare's own: buckets, caches, the entry
    const own = isolates.find(({ id }: { id: string }) => id.startsWith("core:user"));
    const socket = new WebSocket(own.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new HeapWatch(socket);
  }

  #ask(): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify({ id: this.samples.length, method: "Runtime.getHeapUsage" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#closed;
  }
}
