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

let lastTurn = -Infinity;
let lastCheck = -Infinity;
let stillChecks = 0;

/**
 * Lets the event loop have one turn and then calls `done`, by the cheapest means at hand: 0.1 ms by immediates in Deno,
 * 4 µs elsewhere, 1 ms and more by a timer.
 *
 * @returns What calls it off.
 */
export const startTurn: (done: () => void) => () => void = typeof setImmediate === "function"
  ? (done) => {
    let left = PASSES;
    let next = setImmediate(pass);
    function pass() {
      if (--left === 0) took(done);
      else next = setImmediate(pass);
    }
    return () => clearImmediate(next);
  }
  : (done) => {
    const timer = setTimeout(took, 0, done);
    return () => clearTimeout(timer);
  };

function took(done: () => void): void {
  lastTurn = performance.now();
  done();
}

/**
 * Whether a turn is due, to be asked between two pieces of work. The clock is shared by all that runs in the isolate, so
 * ten interleaved generations together still give a turn every 10 ms. Where the clock stands still while computing
 * (Workers), every fourth piece of work gives a turn.
 */
export function turnIsDue(): boolean {
  const now = performance.now();
  stillChecks = now === lastCheck ? stillChecks + 1 : 0;
  lastCheck = now;
  if (now - lastTurn < TURN_MS && stillChecks < STILL_CHECKS) return false;
  stillChecks = 0;
  return true;
}

/**
 * To be called between two pieces of work (tokens, chunks, layers): a promise of a turn when one is due, else
 * `undefined`.
 *
 * ```ts ignore
 * const turn = dueTurn();
 * if (turn !== undefined) await turn;
 * ```
 */
export function dueTurn(): Promise<void> | undefined {
  return turnIsDue() ? new Promise((resolve) => void startTurn(resolve)) : undefined;
}

/** Gives the event loop its turn when one is due, and then looks whether to go on. */
export async function pause(signal: AbortSignal | undefined): Promise<void> {
  const turn = dueTurn();
  if (turn === undefined) return;
  await turn;
  signal?.throwIfAborted();
}
