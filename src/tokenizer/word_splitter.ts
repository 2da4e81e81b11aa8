/**
 * Runs the expressions of a pre-tokenizer over a text.
 *
 * @module
 */
import type { PreTokenizer } from "./pre_tokenizers.ts";

/** One expression twice: anchored, to go from match to match without objects, and searching, to cross a gap. */
interface Cut {
  readonly here: RegExp;
  readonly next: RegExp;
}

/**
 * Cuts texts into words.
 *
 * @example
 * ```ts
 * import { preTokenizer } from "./pre_tokenizers.ts";
 * import { WordSplitter } from "./word_splitter.ts";
 *
 * new WordSplitter(preTokenizer("gpt-2")).split("Hello world  2"); // ["Hello", " world", " ", " 2"]
 * ```
 */
export class WordSplitter {
  readonly #cuts: readonly Cut[];

  constructor(preTokenizer: PreTokenizer) {
    this.#cuts = preTokenizer.cuts.map((cut) => {
      const source = cut.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}");
      return { here: new RegExp(source, "uy"), next: new RegExp(source, "ug") };
    });
  }

  /** Calls `word` with the range of each word, in code units and in order; together they are the text. */
  forEach(text: string, word: (start: number, end: number) => void): void {
    this.#run(text, 0, 0, word);
  }

  /** The words as strings. */
  split(text: string): string[] {
    const all: string[] = [];
    this.forEach(text, (start, end) => all.push(text.slice(start, end)));
    return all;
  }

  /** @param piece A piece of the whole text, which starts there at `base`. */
  #run(piece: string, base: number, stage: number, word: (start: number, end: number) => void): void {
    const cut = this.#cuts[stage];
    const last = stage + 1 === this.#cuts.length;
    const emit = (start: number, end: number) => {
      if (last) word(base + start, base + end);
      else this.#run(piece.slice(start, end), base + start, stage + 1, word);
    };
    let at = 0;
    while (at < piece.length) {
      cut.here.lastIndex = at;
      if (cut.here.test(piece)) {
        const end = cut.here.lastIndex;
        emit(at, end);
        at = end;
        continue;
      }
      cut.next.lastIndex = at;
      const match = cut.next.exec(piece);
      const start = match?.index ?? piece.length;
      emit(at, start);
      at = start;
    }
  }
}
