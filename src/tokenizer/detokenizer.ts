/**
 * From ids back to text, as they come. A character's bytes can be spread over several tokens, so bytes wait until their
 * character is whole; bytes that can't become one are U+FFFD, as the WHATWG Encoding Standard has it.
 *
 * @module
 */

/** What the detokenizer has to know of a vocabulary. */
export interface TokenBytes {
  tokenBytes(id: number): Uint8Array;
  isControl(id: number): boolean;
  /** The space that `encode` puts in front of a text follows this token; `undefined` where it puts none. */
  readonly prefixedBosId?: number;
}

/** Text that streams out of ids. Get one from `Tokenizer.stream()`. */
export class Detokenizer {
  readonly #tokens: TokenBytes;
  readonly #special: boolean;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #atStart = true;
  #skipSpace = false;

  /** @param special Control tokens appear as their text; otherwise they are left out. */
  constructor(tokens: TokenBytes, special: boolean) {
    this.#tokens = tokens;
    this.#special = special;
  }

  /** The text that this token completes: whole characters, often empty or only a part of the token. */
  push(id: number): string {
    return this.#decoder.decode(this.bytes(id), { stream: true });
  }

  /** What is left when no token follows: U+FFFD for an unfinished character. The stream then starts anew. */
  flush(): string {
    this.#atStart = true;
    this.#skipSpace = false;
    return this.#decoder.decode();
  }

  /** The bytes that a token adds to the stream. */
  bytes(id: number): Uint8Array {
    const atStart = this.#atStart;
    this.#atStart = false;
    if (this.#tokens.isControl(id)) {
      // A sequence with BOS is a text from its start; one without may continue a text and keeps its space.
      this.#skipSpace = atStart && id === this.#tokens.prefixedBosId;
      return this.#special ? this.#tokens.tokenBytes(id) : NO_BYTES;
    }
    const bytes = this.#tokens.tokenBytes(id);
    const skip = this.#skipSpace && bytes[0] === 0x20;
    this.#skipSpace = false;
    return skip ? bytes.subarray(1) : bytes;
  }
}

const NO_BYTES = new Uint8Array();
