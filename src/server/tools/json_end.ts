/** Finds where an object or array of JSON ends, while it comes. */
export class JsonEnd {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #done = false;

  /** Whether its last bracket has come. */
  get done(): boolean {
    return this.#done;
  }

  /** Takes the next piece; returns how much of it belongs to the value. */
  push(text: string): number {
    for (let i = 0; i < text.length; i++) {
      const character = text[i];
      if (this.#escaped) this.#escaped = false;
      else if (this.#inString) {
        if (character === "\\") this.#escaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') this.#inString = true;
      else if (character === "{" || character === "[") this.#depth++;
      else if ((character === "}" || character === "]") && --this.#depth === 0) {
        this.#done = true;
        return i + 1;
      }
    }
    return text.length;
  }
}
