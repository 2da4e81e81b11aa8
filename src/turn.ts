/**
 * Giving the event loop its turn. Inference holds the only thread: without a macrotask in between, no chunk of a
 * stream leaves the process, and no abort, timer or second request is seen.
 *
 * @module
 */

/** Work goes on for at most about this long before the event loop gets a turn. Half of the 20 ms promised. */
const TURN_MS = 10;

/** Checks in a row at which the clock may stand still before a turn is given anyway. */
const STILL_CHECKS = 4;

const NOTHING = new Uint8Array(0);

/**
 * One macrotask, by the cheapest means at hand: 7 µs by `setImmediate`, 1 ms and more by a timer. Deno runs immediates
 * one after the other without a look at the network in between, so that no request would be seen before the end; a
 * digest, which it computes beside, makes it look.
 */
export const nextTurn: () => Promise<void> = typeof setImmediate === "function"
  ? async () => {
    await crypto.subtle.digest("SHA-1", NOTHING);
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  : () => new Promise((resolve) => void setTimeout(resolve, 0));

let lastTurn = -Infinity;
let lastCheck = -Infinity;
let stillChecks = 0;

/**
 * To be called between two pieces of work (tokens, chunks, layers): a promise of a macrotask when one is due, else
 * `undefined`. The clock is shared by all that runs in the isolate, so ten interleaved generations together still
 * give a turn every 10 ms. Where the clock stands still while computing (Workers), every fourth call gives a turn.
 *
 * ```ts ignore
 * const turn = dueTurn();
 * if (turn !== undefined) await turn;
 * ```
 */
export function dueTurn(): Promise<void> | undefined {
  const now = performance.now();
  stillChecks = now === lastCheck ? stillChecks + 1 : 0;
  lastCheck = now;
  if (now - lastTurn < TURN_MS && stillChecks < STILL_CHECKS) return undefined;
  stillChecks = 0;
  return nextTurn().then(() => {
    lastTurn = performance.now();
  });
}
