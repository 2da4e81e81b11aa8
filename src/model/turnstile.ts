/**
 * One asynchronous piece of work at a time.
 *
 * @module
 */

/** Lets pieces of work through one by one, in the order of asking. */
export class Turnstile {
  #last: Promise<void> = Promise.resolve();

  /**
   * Runs `work` when all earlier ones have ended, however they ended.
   *
   * @throws The signal's reason when it is aborted before that.
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#last;
    const through = Promise.withResolvers<void>();
    this.#last = before.then(() => through.promise);
    try {
      await unlessAborted(before, signal);
      return await work();
    } finally {
      through.resolve();
    }
  }
}

function unlessAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
  });
}
