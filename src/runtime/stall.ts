/**
 * Servers that accept and never send: waiting for bytes has an end, whatever the runtime does about an aborted `fetch`.
 *
 * @module
 */

/** A wait for a byte that was in vain. */
export class Stall extends Error {
  /** @param ms That nothing came for. */
  constructor(ms: number) {
    super(`no byte came for ${ms / 1000} s, wanted the next one within that time`);
  }
}

/**
 * What `promise` comes to, within `ms`.
 *
 * @param giveUp Told the error that this rejects with, when the time is over.
 * @throws {Stall} Then.
 */
export function withinMs<T>(ms: number, promise: Promise<T>, giveUp: (stall: Stall) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const stall = new Stall(ms);
      reject(stall);
      giveUp(stall);
    }, ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
