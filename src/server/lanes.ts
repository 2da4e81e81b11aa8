/**
 * Who runs and who waits. Each sequence of the model is a lane; requests beyond them wait in line, and beyond the line they
 * are sent away.
 *
 * @module
 */
import type { Session } from "../session/session.ts";
import { ApiError } from "./api_error.ts";

interface Waiter {
  readonly enter: (lane: Session) => void;
}

/** Seconds after which a caller who was sent away may hope for a place. */
const RETRY_AFTER = 2;

/** The sessions of a model, lent to one request at a time. */
export class Lanes {
  readonly #free: Session[];
  readonly #waiting: Waiter[] = [];
  readonly #count: number;

  /** @param maxWaiting Places in line. */
  constructor(sessions: readonly Session[], readonly maxWaiting: number) {
    this.#free = [...sessions];
    this.#count = sessions.length;
  }

  get running(): number {
    return this.#count - this.#free.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws {ApiError} 429 when neither a lane is free nor a place in line. */
  checkRoom(): void {
    if (this.#free.length > 0 || this.#waiting.length < this.maxWaiting) return;
    const message = `${this.running} requests run and ${this.waiting} wait; try again later`;
    throw new ApiError(429, message, "queue_full", null, RETRY_AFTER);
  }

  /**
   * Lends a session: of the free ones that which holds most of the prompt already.
   *
   * @throws {ApiError} As `checkRoom` does.
   * @throws The signal's reason when it is aborted while waiting.
   */
  async enter(ids: readonly number[], signal: AbortSignal): Promise<Session> {
    signal.throwIfAborted();
    this.checkRoom();
    if (this.#free.length > 0) return this.#best(ids);
    return await new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        enter: (lane) => {
          signal.removeEventListener("abort", leave);
          resolve(lane);
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#waiting.push(waiter);
    });
  }

  /** Takes a session back and hands it to who has waited longest. */
  leave(lane: Session): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(lane);
    else next.enter(lane);
  }

  #best(ids: readonly number[]): Session {
    const shared = this.#free.map((lane) => lane.sharedWith(ids));
    return this.#free.splice(shared.indexOf(Math.max(...shared)), 1)[0];
  }
}
