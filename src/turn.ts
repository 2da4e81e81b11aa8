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

/**
 * Passes of the event loop that make a turn. Deno looks at the network in every 61st pass only, as long as there are
 * immediates to run: no request would be seen, and no client be missed that has gone, before the end of a reply.
 */
const PASSES = "Deno" in globalThis ? 64 : 1;

/** One turn, by the cheapest means at hand: 0.1 ms by immediates in Deno, 4 µs elsewhere, 1 ms and more by a timer. */
export const nextTurn: () => Promise<void> = typeof setImmediate === "function"
  ? () =>
    new Promise((resolve) => {
      let left = PASSES;
      const pass = () => --left === 0 ? resolve() : void setImmediate(pass);
      setImmediate(pass);
    })
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

/** Gives the event loop its turn when one is due, and then looks whether to go on. */
export async function pause(signal: AbortSignal | undefined): Promise<void> {
  const turn = dueTurn();
  if (turn === undefined) return;
  await turn;
  signal?.throwIfAborted();
}
