/** Texts that make a token a separator, for prose and for programs. */
export const SEPARATORS = {
  text: [".", ",", ";", ":", "!", "?", "\n"],
  code: ["\n", ";", "{", "}", ":", ")"],
  newline: ["\n"],
} as const;
