/**
 * One asynchronous piece of work at a time.
 *
 * @module
 */

/** Lets pieces of work through one by one, in the order of asking. */
export class Turnstile {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` when all earlier ones have ended, however they ended. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}
