/** What a reply may consist of, a token at a time. It has state: one for each reply. */
export interface Constraint {
  /**
   * Sets the bits of the tokens that may come next, and clears all others.
   *
   * @param mask A bit a token, the lowest of a word first.
   * @returns False, and nothing in `mask`, when every token may come.
   * @throws {OptionError} When none may.
   */
  fill(mask: Uint32Array): boolean;
  /** Takes the token that was chosen; it was one of those that might come. */
  accept(id: number): void;
  /** Whether nothing may come any more. */
  readonly complete: boolean;
}
