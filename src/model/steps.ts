/**
 * Steps of decoding that sequences share: continuous batching. Whoever generates brings one token at a time and waits
 * for it; the tokens that wait are read in one step, for which each weight is read once.
 *
 *     a text brings a token:  it waits until all of the last step have brought theirs
 *     all have:               one step for all that wait, at once
 *     one doesn't:            the step goes without it, after a turn of the event loop and a little patience
 *
 * So texts come and go between any two steps, a slow reader holds up nobody, and one alone never waits. Prompts are read
 * in the turns between steps. Source: Orca (Yu et al., OSDI 2022) §3.1, iteration-level scheduling.
 *
 * @module
 */
import { startTurn, turnIsDue } from "../turn.ts";
import { decodeToken, decodeTokens } from "./decode_step.ts";
import type { RunningText } from "./running_text.ts";

/** How long a step waits for a text of the last one, as a share of the time that one took. */
const PATIENCE = 0.25;

/** What a step is taken to last where the clock stands still while computing (Workers): as of a model that fits there. */
const STILL_STEP_MS = 16;

/** A token that waits to be read. */
interface Ticket {
  readonly text: RunningText;
  readonly id: number;
  readonly signal: AbortSignal | undefined;
  readonly since: number;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  /** Calls off the turn that it waits for. */
  callOff: () => void;
}

/** How often weights were read for how many tokens: with several texts at work, fewer steps than tokens. */
export interface StepCounts {
  readonly steps: number;
  readonly tokens: number;
}

/** The steps of one model. */
export class Steps {
  readonly #waiting = new Set<Ticket>();
  /** Those of the last step that have not brought their next token. */
  readonly #expected = new Set<RunningText>();
  #stepMs = 0;
  #steps = 0;
  #tokens = 0;

  get counts(): StepCounts {
    return { steps: this.#steps, tokens: this.#tokens };
  }

  /**
   * Reads a token in the next step: at once, where nobody else is waited for, and a promise of it otherwise. It trusts
   * its caller: the text has room for the token, and nothing else is done with it meanwhile.
   *
   * @throws The signal's reason when it is seen to be aborted before the step.
   */
  read(text: RunningText, id: number, signal?: AbortSignal): Promise<void> | undefined {
    this.#expected.delete(text);
    const ready = this.#expected.size === 0 && !turnIsDue();
    if (ready && this.#waiting.size === 0) return this.#stepAlone(text, id);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ticket = { text, id, signal, since: performance.now(), resolve, reject, callOff: () => {} };
    this.#waiting.add(ticket);
    if (ready) this.#stepAll(text);
    else this.#wait(ticket);
    return promise.finally(() => ticket.callOff());
  }

  /**
   * Timers and signals belong to one request in Workers: no other may touch them, and they are gone when it is. So each
   * waits by a turn of its own, and whose turn comes first takes the step for all.
   */
  #wait(ticket: Ticket): void {
    ticket.callOff = startTurn(() => {
      if (ticket.signal?.aborted) {
        this.#waiting.delete(ticket);
        return ticket.reject(ticket.signal.reason);
      }
      const late = performance.now() - ticket.since >= PATIENCE * this.#stepMs;
      if (late || this.#expected.size === 0) this.#stepAll(ticket.text);
      else this.#wait(ticket);
    });
  }

  /** One step for all that wait. @param driver On whose request's CPU time it goes. */
  #stepAll(driver: RunningText): void {
    const tickets = [...this.#waiting];
    this.#waiting.clear();
    this.#expected.clear();
    try {
      const start = performance.now();
      decodeTokens(tickets.map(({ text }) => text), tickets.map(({ id }) => id));
      this.#count(driver, start, tickets.length);
      for (const { text, resolve } of tickets) {
        this.#expected.add(text);
        resolve();
      }
    } catch (error) {
      for (const { reject } of tickets) reject(error);
    }
  }

  #stepAlone(text: RunningText, id: number): undefined {
    const start = performance.now();
    decodeToken(text, id);
    this.#count(text, start, 1);
    this.#expected.add(text);
  }

  /** Counts a step that began at `start`. @param driver On whose request's CPU time it went. */
  #count(driver: RunningText, start: number, nTokens: number): void {
    driver.holdCpuWarning();
    this.#stepMs = performance.now() - start || STILL_STEP_MS;
    this.#steps++;
    this.#tokens += nTokens;
  }
}
