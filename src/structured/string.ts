/**
 * The inside of a JSON string a byte at a time, closing quote included: well-formed UTF-8 and escapes, counted in code
 * points. A lone surrogate can't be written.
 *
 * @module
 */
import type { Item, Stack } from "./stack.ts";

const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/** Escapes of one character. */
const ESCAPES = new Set([...'"\\/bfnrt'].map((character) => character.charCodeAt(0)));

/** Characters of a free name; one that has come before may get longer. */
const NAME_LENGTH = 64;

/** Where in a character the text stands. */
type Within =
  | { readonly kind: "none" | "backslash" }
  /** `left` more bytes, the next of them from `low` to `high`. */
  | { readonly kind: "utf8"; readonly left: number; readonly low: number; readonly high: number }
  /** `left` more hexadecimal digits, the next of them below 8 where `low`. */
  | { readonly kind: "hex"; readonly left: number; readonly low: boolean };

const NONE: Within = { kind: "none" };
const TAIL = [0x80, 0xbf] as const;

/** What the first byte of a character asks for; `undefined` where it can't be one. @see RFC 3629 §4 */
function firstByte(byte: number): Within | undefined {
  if (byte < 0x80) return byte < 0x20 ? undefined : NONE;
  const utf8 = (left: number, [low, high]: readonly [number, number] = TAIL): Within => ({
    kind: "utf8",
    ...{ left, low, high },
  });
  if (byte >= 0xc2 && byte <= 0xdf) return utf8(1);
  if (byte === 0xe0) return utf8(2, [0xa0, 0xbf]);
  if (byte === 0xed) return utf8(2, [0x80, 0x9f]);
  if (byte >= 0xe1 && byte <= 0xef) return utf8(2);
  if (byte === 0xf0) return utf8(3, [0x90, 0xbf]);
  if (byte >= 0xf1 && byte <= 0xf3) return utf8(3);
  if (byte === 0xf4) return utf8(3, [0x80, 0x8f]);
}

/** What stands after a further byte of a character; `undefined` where it can't come. */
function nextByte(within: Within, byte: number): Within | undefined {
  switch (within.kind) {
    case "none":
      return byte === BACKSLASH ? { kind: "backslash" } : firstByte(byte);
    case "backslash":
      if (byte === 0x75) return { kind: "hex", left: 4, low: false };
      return ESCAPES.has(byte) ? NONE : undefined;
    case "utf8": {
      const { left, low, high } = within;
      if (byte < low || byte > high) return undefined;
      return left === 1 ? NONE : { kind: "utf8", left: left - 1, low: TAIL[0], high: TAIL[1] };
    }
    case "hex": {
      const digit = parseInt(String.fromCharCode(byte), 16);
      if (Number.isNaN(digit) || (within.low && digit >= 8)) return undefined;
      // D8 to DF in front: half of a pair
      const low = within.left === 4 && digit === 0xd;
      return within.left === 1 ? NONE : { kind: "hex", left: within.left - 1, low };
    }
  }
}

/** Whether the bytes are whole characters that need no escape, and how many; 0 where not. */
export function plainLength(bytes: Uint8Array): number {
  let within = NONE;
  let length = 0;
  for (const byte of bytes) {
    if (within === NONE) {
      if (byte === QUOTE || byte === BACKSLASH) return 0;
      length++;
    }
    const next = nextByte(within, byte);
    if (next === undefined) return 0;
    within = next;
  }
  return within === NONE ? length : 0;
}

/** From `least` to `most` more characters, then the closing quote. */
export class Characters implements Item {
  readonly empty = false;
  static readonly #free = new Characters(0, Infinity, NONE);

  constructor(readonly least: number, readonly most: number, readonly within: Within) {}

  static of(least: number, most: number): Item {
    return least === 0 && most === Infinity ? Characters.#free : new Characters(least, most, NONE);
  }

  /** A name that is none of `names`; `then` follows it. */
  static name(names: readonly string[], then: (name: string) => Stack): Item {
    return new Name(names, then, "", 0, NONE);
  }

  get room(): number {
    return this.within === NONE ? this.most : 0;
  }

  step(byte: number, at: Stack, out: Stack[]): void {
    const { least, most, within } = this;
    if (within === NONE && byte === QUOTE) {
      if (least === 0) out.push(at.rest!);
      return;
    }
    if (within === NONE && most === 0) return;
    const next = nextByte(within, byte);
    if (next === undefined) return;
    const [fewer, less] = next === NONE ? [Math.max(0, least - 1), most - 1] : [least, most];
    if (next === within && fewer === least && less === most) out.push(at);
    else out.push({ item: new Characters(fewer, less, next), rest: at.rest });
  }
}

/** A name, in bytes that need no escape. */
class Name implements Item {
  readonly empty = false;

  constructor(
    readonly names: readonly string[],
    readonly then: (name: string) => Stack,
    readonly text: string,
    readonly length: number,
    readonly within: Within,
  ) {}

  get room(): number {
    return this.within === NONE ? NAME_LENGTH - this.length : 0;
  }

  step(byte: number, _at: Stack, out: Stack[]): void {
    const { names, then, text, length, within } = this;
    const fresh = within === NONE && !names.includes(text);
    if (within === NONE && byte === QUOTE) {
      if (fresh) out.push(then(text));
      return;
    }
    if ((fresh && length >= NAME_LENGTH) || (within === NONE && byte === BACKSLASH)) return;
    const next = nextByte(within, byte);
    if (next === undefined) return;
    const longer = text + String.fromCharCode(byte);
    out.push({ item: new Name(names, then, longer, length + (next === NONE ? 1 : 0), next), rest: null });
  }
}
