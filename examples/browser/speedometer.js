/** Tokens a second, over the last second or so. */
const WINDOW_MS = 1000;

export class Speedometer {
  #element;
  #times = [];

  /** @param {HTMLElement} element Where the number is shown. */
  constructor(element) {
    this.#element = element;
  }

  start() {
    this.#times = [];
    this.#element.textContent = "…";
  }

  /** A token has come. */
  count() {
    const now = performance.now();
    this.#times = [...this.#times.filter((time) => now - time < WINDOW_MS), now];
    const seconds = (now - this.#times[0]) / 1000;
    if (seconds > 0) this.#show((this.#times.length - 1) / seconds);
  }

  /** The last has come; over all it was `tokensPerSecond`. */
  stop(tokensPerSecond) {
    this.#show(tokensPerSecond);
  }

  #show(tokensPerSecond) {
    this.#element.textContent = Math.round(tokensPerSecond).toLocaleString("en");
  }
}
