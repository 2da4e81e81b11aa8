/**
 * What quality is measured on: beginnings that a policy reduces, and what follows them. Whatever has to be found again is
 * named only after the beginning. Cases are the same in every run.
 *
 *     text     a passage of the text, then its continuation of 64 tokens
 *     again    a passage of 48 tokens somewhere within other text, which comes again after the prompt; counted from its
 *              ninth token on
 *     facts    four made-up keys with numbers, then text; the question about one of them comes after the prompt
 *     passkey  one number at a random place within text, and the question about it
 */
import type { Tokenizer } from "../../src/tokenizer/mod.ts";

/** A beginning, what follows it, and from where on the follower counts. */
export interface Case {
  readonly prompt: readonly number[];
  readonly next: readonly number[];
  readonly from: number;
}

/** Tasks by name. */
export type Task = "text" | "again" | "facts" | "passkey";

/** Tokens that follow a prompt of a text task. */
const CONTINUATION = 64;
/** Tokens of a passage that comes again, and those of them that tell which one it is. */
const PASSAGE = 48;
const CUE = 8;

const NAMES = [
  "Edward",
  "Richard",
  "Edmund",
  "Alfred",
  "Dorothy",
  "Florence",
  "Edith",
  "Victor",
  "Leonard",
  "Barbara",
];

/** Whole numbers below n, the same in every run. */
function draws(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * n);
  };
}

/**
 * Makes `n` cases whose prompts have `length` tokens.
 *
 * @param ids The text, as tokens.
 */
export function makeCases(
  task: Task,
  tokenizer: Tokenizer,
  ids: readonly number[],
  n: number,
  length: number,
): Case[] {
  const encode = (text: string) => tokenizer.encode(text, { addSpecial: false });
  return Array.from({ length: n }, (_, i) => {
    const below = draws(1000 + i);
    const slice = (length: number) => {
      const start = below(ids.length - length);
      return ids.slice(start, start + length);
    };
    if (task === "text") {
      const all = slice(length + CONTINUATION);
      return { prompt: all.slice(0, length), next: all.slice(length), from: 0 };
    }
    if (task === "again") {
      const passage = slice(PASSAGE);
      const before = below(length - PASSAGE - 64);
      const rest = slice(length - PASSAGE);
      return {
        prompt: [...rest.slice(0, before), ...passage, ...rest.slice(before)],
        next: passage,
        from: CUE,
      };
    }
    const first = below(NAMES.length - 4);
    const facts = Array.from(
      { length: task === "facts" ? 4 : 1 },
      (_, j) => [NAMES[first + j], String(1000 + below(9000))],
    );
    const [name, value] = facts[below(facts.length)];
    const lead = encode(facts.map(([name, value]) => `The number of ${name} is ${value}.\n`).join(""));
    const question = encode(`\nWhat is the number of ${name}? It is`);
    const answer = encode(` ${value}`);
    const rest = slice(length - lead.length);
    const before = task === "facts" ? 0 : below(rest.length - 128);
    return {
      prompt: [...rest.slice(0, before), ...lead, ...rest.slice(before)],
      next: [...question, ...answer],
      from: question.length,
    };
  });
}
