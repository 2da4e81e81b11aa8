/**
 * Stop strings across token borders: text that may turn out to be the start of one is held back until it is known.
 *
 * @module
 */

/** Lets text through up to the stop string that is complete first. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  #stopped = false;
  #rest = "";

  /** @param stops Of at least one character each. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop string has come. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** What came behind the stop string with the piece that completed it. */
  get rest(): string {
    return this.#rest;
  }

  /** Takes the next piece of text and returns what is certain to stand before any stop string. */
  push(text: string): string {
    if (this.#stops.length === 0 || this.#stopped) return this.#stopped ? "" : text;
    const all = this.#held + text;
    const cut = this.#firstStop(all);
    if (cut !== undefined) {
      this.#stopped = true;
      this.#held = "";
      this.#rest = all.slice(cut.end);
      return all.slice(0, cut.start);
    }
    const certain = all.length - this.#heldLength(all);
    this.#held = all.slice(certain);
    return all.slice(0, certain);
  }

  /** The text held back, when no more is to come. */
  flush(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** The stop string that ends first, the longest of those that end together. */
  #firstStop(text: string): { readonly start: number; readonly end: number } | undefined {
    let start: number | undefined;
    let end = Infinity;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0 || at + stop.length > end) continue;
      start = at + stop.length === end ? Math.min(start!, at) : at;
      end = at + stop.length;
    }
    return start === undefined ? undefined : { start, end };
  }

  /** Length of the longest end of `text` that a stop string begins with. */
  #heldLength(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      let length = Math.min(stop.length - 1, text.length);
      while (length > longest && !text.endsWith(stop.slice(0, length))) length--;
      longest = Math.max(longest, length);
    }
    return longest;
  }
}
