/**
 * The options that make a prompt, and those that make a reply.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { checkOptions, type GenerateOptions } from "../generate/options.ts";
import type { Arguments } from "./args.ts";
import { fileChunks, isFile, readText } from "./host.ts";

/** Ways to give a text. */
export const TEXT_OPTIONS = {
  "prompt": { value: "TEXT", help: "What the reply continues", mayBeEmpty: true },
  "prompt-file": { value: "FILE", help: "The same from a text file; - is standard input" },
};

/** Ways to give a prompt. */
export const PROMPT_OPTIONS = {
  ...TEXT_OPTIONS,
  "prompt-tokens": { value: "IDS", help: "The same as token ids such as 1,2,3, taken as they are" },
};

/** How tokens are chosen, and when to end. */
export const REPLY_OPTIONS = {
  "max-tokens": { value: "N", help: "Tokens to generate at most" },
  "temperature": { value: "T", help: "0 takes the most likely token, 1 draws from the model's distribution" },
  "top-k": { value: "K", help: "Draw among the K most likely tokens, at most 256 (default: 0, all)" },
  "top-p": { value: "P", help: "Draw among the most likely tokens that together reach P (default: 1)" },
  "min-p": { value: "P", help: "Draw among tokens at least P times as likely as the best (default: 0)" },
  "repetition-penalty": {
    value: "X",
    help: "Make tokens seen before less likely by this factor (default: 1)",
  },
  "frequency-penalty": { value: "X", help: "The same per occurrence, subtracted (default: 0)" },
  "presence-penalty": { value: "X", help: "The same once, subtracted (default: 0)" },
  "seed": { value: "N", help: "The same seed draws the same tokens (default: a random one)" },
  "stop": { value: "TEXT", help: "End before this text; may be given several times", many: true },
  "ignore-eos": { help: "Go on after the model's own end" },
};

/** The prompt: text, or ids. Empty when none was given, refused when more than one was. */
export async function readPrompt(args: Arguments): Promise<string | readonly number[]> {
  refuseTwo(args);
  return args.ids("prompt-tokens") ?? await readPromptText(args);
}

/** The prompt where it can only be text. */
export async function readPromptText(args: Arguments): Promise<string> {
  refuseTwo(args);
  return await readFileOption(args, "prompt-file") ?? args.string("prompt") ?? "";
}

/**
 * The text of the file that an option names; `undefined` when the option is not there.
 *
 * @throws {OptionError} When the file can't be read.
 */
export async function readFileOption(args: Arguments, name: string): Promise<string | undefined> {
  const path = args.string(name);
  if (path === undefined) return undefined;
  const text = await readText(path);
  if (text === undefined) throw new OptionError(name, path, "a text file that can be read");
  return text;
}

/**
 * The bytes of the file that an option names, in pieces.
 *
 * @throws {OptionError} When the file can't be read.
 */
export async function* readChunks(name: string, path: string): AsyncGenerator<Uint8Array> {
  if (!await isFile(path)) throw new OptionError(name, path, "a file that can be read");
  yield* fileChunks(path, 2 ** 20);
}

/** @throws {OptionError} When the prompt was given in more than one way. */
function refuseTwo(args: Arguments): void {
  const [first, second] = Object.keys(PROMPT_OPTIONS).filter((name) => args.string(name) !== undefined);
  if (second !== undefined) {
    throw new OptionError(`--${second}`, args.string(second), `no --${first} beside it`);
  }
}

/**
 * The reply's options, with a command's own defaults beneath.
 *
 * @throws {OptionError} When one is out of its bounds.
 */
export function replyOptions(args: Arguments, defaults: GenerateOptions): GenerateOptions {
  const options = {
    maxTokens: args.integer("max-tokens", 1) ?? defaults.maxTokens,
    temperature: args.number("temperature") ?? defaults.temperature,
    topK: args.integer("top-k", 0) ?? defaults.topK,
    topP: args.number("top-p") ?? defaults.topP,
    minP: args.number("min-p") ?? defaults.minP,
    repetitionPenalty: args.number("repetition-penalty") ?? defaults.repetitionPenalty,
    frequencyPenalty: args.number("frequency-penalty") ?? defaults.frequencyPenalty,
    presencePenalty: args.number("presence-penalty") ?? defaults.presencePenalty,
    seed: args.integer("seed", 0) ?? defaults.seed,
    stop: args.strings("stop"),
    ignoreEos: args.on("ignore-eos"),
  };
  checkOptions(options);
  return options;
}
