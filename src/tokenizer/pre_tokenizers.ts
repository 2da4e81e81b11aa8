/**
 * The pre-tokenizers that `tokenizer.ggml.pre` names: how a text is cut into words before merges run inside each word.
 * Each is a list of expressions. The first cuts the text; every next one cuts each piece of the one before, where a
 * piece is a match or what lies between two matches, and nothing looks across the edge of its piece. The expressions
 * are the published ones of the models' `tokenizer.json`, with `\s` as Unicode's White_Space (JavaScript's `\s` has
 * U+FEFF and lacks U+0085).
 *
 * @module
 */
import { UnsupportedModelError } from "../error.ts";

/** How one family cuts its words. */
export interface PreTokenizer {
  /** Sources of the expressions, in the order in which they cut. */
  readonly cuts: readonly string[];
  /** A word that is a token is taken whole, without merging. */
  readonly wholeWords?: boolean;
  /** BOS goes in front unless the file says otherwise. */
  readonly addBos?: boolean;
}

const CONTRACTIONS = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const GPT2 = "'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const words = (digits: string) =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const cased = (ending: string, digits: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${ending}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${ending}|` +
  `${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;
const KANA_HAN = "[一-龥぀-ゟ゠-ヿ]+";
const ASCII_PUNCTUATION = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]";
const BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+";
const CASED_LETTERS =
  "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗ" +
  "ὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎ" +
  "ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}" +
  "\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}";

const digitsThenGpt2 = { cuts: ["\\p{N}", GPT2] };
const gpt2 = { cuts: [GPT2] };
const llama3 = { cuts: [words("\\p{N}{1,3}")] };
const llama3Whole = { ...llama3, wholeWords: true, addBos: true };
const qwen2 = { cuts: [words("\\p{N}")] };
const gpt4o = { cuts: [cased(`(?:${CONTRACTIONS})?`, "\\p{N}{1,3}")] };
const bailing = {
  cuts: [
    `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|` +
    "\\s+(?!\\S)|\\s+",
  ],
};
const deepseekV3 = {
  cuts: [
    "\\p{N}{1,3}",
    KANA_HAN,
    `${ASCII_PUNCTUATION}[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|${SPACES}`,
  ],
};
/** Merges run over whole lines, with a line break of any length as one word. */
const lines = { cuts: ["[^\\n]+|\\n+"] };

const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  "default": { cuts: ["[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"] },
  "gpt-2": gpt2,
  "phi-2": gpt2,
  "mpt": gpt2,
  "olmo": gpt2,
  "jais": gpt2,
  "trillion": gpt2,
  "gigachat": gpt2,
  "exaone4": gpt2,
  "a.x-4.0": gpt2,
  "mellum": gpt2,
  "granite-docling": gpt2,
  "smollm": digitsThenGpt2,
  "starcoder": digitsThenGpt2,
  "refact": digitsThenGpt2,
  "command-r": digitsThenGpt2,
  "codeshell": digitsThenGpt2,
  "exaone": digitsThenGpt2,
  "minerva-7b": digitsThenGpt2,
  "mellum2": digitsThenGpt2,
  "llama-bpe": llama3Whole,
  "llama3": llama3Whole,
  "llama-v3": llama3Whole,
  "falcon3": llama3Whole,
  "falcon-h1": llama3Whole,
  "pixtral": llama3Whole,
  "lfm2": llama3Whole,
  "midm-2.0": llama3Whole,
  "dbrx": llama3,
  "smaug-bpe": llama3,
  "chatglm-bpe": llama3,
  "glm4": { ...llama3, wholeWords: true },
  "glm5": { ...llama3, wholeWords: true },
  "minicpm5": { cuts: ["\\p{N}{1,3}", words("\\p{N}+")], wholeWords: true },
  "qwen2": qwen2,
  "deepseek-r1-qwen": qwen2,
  "megrez": qwen2,
  "kormo": qwen2,
  "stablelm2": qwen2,
  "hunyuan": qwen2,
  "solar-open": qwen2,
  "grok-2": qwen2,
  "seed-coder": {
    cuts: [
      `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`,
    ],
  },
  "qwen35": {
    cuts: [
      `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`,
    ],
  },
  "bailingmoe": bailing,
  "bailingmoe2": bailing,
  "llada-moe": bailing,
  "gpt-4o": gpt4o,
  "llama4": gpt4o,
  "kanana2": gpt4o,
  "minimax-m2": gpt4o,
  "tekken": { cuts: [cased("", "\\p{N}")], wholeWords: true, addBos: true },
  "youtu": {
    cuts: [
      "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
      cased(`(?:${CONTRACTIONS})?`, "\\p{N}"),
    ],
    wholeWords: true,
  },
  "deepseek-llm": {
    cuts: [
      "[\\r\\n]",
      `\\s?[${CASED_LETTERS}]+`,
      "\\s?[!-\\/:-~！-／：-～‘-‟\u3000-。]+",
      "(?<!\\s)\\s+$",
      "[一-龥ࠀ-一가-퟿]+",
      "\\p{N}+",
    ],
  },
  "deepseek-coder": { cuts: ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"] },
  "deepseek-v3": deepseekV3,
  "hunyuan-dense": deepseekV3,
  "joyai-llm": deepseekV3,
  "falcon": { cuts: ["[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"] },
  "bloom": { cuts: [BLOOM] },
  "poro-chat": { cuts: [BLOOM] },
  "gpt3-finnish": { cuts: [BLOOM] },
  "viking": { cuts: [BLOOM, "\\p{N}"] },
  "gemma4": lines,
  "gemma-4": lines,
};

/**
 * The pre-tokenizer of a name.
 * @throws {UnsupportedModelError} For a name that is not known; it lists those that are.
 */
export function preTokenizer(name: string): PreTokenizer {
  if (Object.hasOwn(PRE_TOKENIZERS, name)) return PRE_TOKENIZERS[name];
  throw new UnsupportedModelError("pre-tokenizer (tokenizer.ggml.pre)", name, preTokenizerNames());
}

/** The names that {@link preTokenizer} knows. */
export function preTokenizerNames(): string[] {
  return Object.keys(PRE_TOKENIZERS);
}
