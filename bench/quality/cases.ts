/**
 * What quality is measured on: prompts that a policy reduces, and what follows them. Whatever has to be found again is named
 * only after the prompt. A seed gives the same prompts in every run; another seed gives others.
 *
 *     passage  a passage of the text; then either its continuation of 64 tokens (`text`), or 48 tokens from anywhere within
 *              it once more, counted from the ninth on (`again`)
 *     facts    four made-up keys with numbers, then text; the question about each of them comes after the prompt
 *     passkey  one number at a random place within text, and the question about it
 */
import type { Tokenizer } from "../../src/tokenizer/mod.ts";

/** What follows a prompt, and from where on it counts. */
export interface Question {
  readonly task: string;
  readonly next: readonly number[];
  readonly from: number;
}

/** A prompt, and questions that are each asked as if there were no other. */
export interface Prompt {
  readonly ids: readonly number[];
  readonly questions: readonly Question[];
}

/** Tokens that follow a prompt. */
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

/** Tokens of a text, and how many a prompt of it has. */
export interface Source {
  readonly tokenizer: Tokenizer;
  readonly ids: readonly number[];
  readonly length: number;
}

/** Longest that a prompt and a question together get beyond the prompt's length. */
export const ROOM = 96;

/** Whole numbers below n. Numbers of neighbouring seeds have nothing to do with each other. */
function draws(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return Math.floor(((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32 * n);
  };
}

/** Draws a piece of the text. */
const piece = ({ ids }: Source, below: (n: number) => number, length: number) => {
  const start = below(ids.length - length);
  return ids.slice(start, start + length);
};

/**
 * A passage, and what is asked about it.
 *
 * @param tasks What `text` and `again` are called; the one that has no name is left out.
 */
export function passage(source: Source, seed: number, tasks: { text?: string; again?: string }): Prompt {
  const { length } = source;
  const below = draws(seed);
  const all = piece(source, below, length + CONTINUATION);
  const ids = all.slice(0, length);
  const start = below(length - PASSAGE - 64);
  return {
    ids,
    questions: [
      ...(tasks.text === undefined ? [] : [{ task: tasks.text, next: all.slice(length), from: 0 }]),
      ...(tasks.again === undefined
        ? []
        : [{ task: tasks.again, next: ids.slice(start, start + PASSAGE), from: CUE }]),
    ],
  };
}

/** Lines that name keys within text, and a question about each. */
function planted(source: Source, seed: number, task: string, nKeys: number, anywhere: boolean): Prompt {
  const { tokenizer, length } = source;
  const below = draws(seed);
  const encode = (text: string) => tokenizer.encode(text, { addSpecial: false });
  const first = below(NAMES.length - nKeys + 1);
  const keys = Array.from({ length: nKeys }, (_, i) => [NAMES[first + i], String(1000 + below(9000))]);
  const lines = encode(keys.map(([name, value]) => `The number of ${name} is ${value}.\n`).join(""));
  const rest = piece(source, below, length - lines.length);
  const before = anywhere ? below(rest.length - 128) : 0;
  return {
    ids: [...rest.slice(0, before), ...lines, ...rest.slice(before)],
    questions: keys.map(([name, value]) => {
      const question = encode(`\nWhat is the number of ${name}? It is`);
      return { task, next: [...question, ...encode(` ${value}`)], from: question.length };
    }),
  };
}

/** Four keys in front of text. */
export const facts = (source: Source, seed: number, task: string) => planted(source, seed, task, 4, false);

/** One key at a random place. */
export const passkey = (source: Source, seed: number, task: string) => planted(source, seed, task, 1, true);
