/**
 * UTF-8 without objects: ranges of a JS string written into a buffer, and the length of a character by its first byte.
 *
 * @module
 */

/** Bytes of the UTF-8 character that starts with `lead`; 1 for a byte that can't start one. */
export function utf8Length(lead: number): number {
  return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 1;
}

/**
 * Writes `text[start, end)` as UTF-8 and returns the end of what was written. Takes at most 3 bytes a code unit.
 * A lone surrogate becomes U+FFFD, as `TextEncoder` has it.
 */
export function writeUtf8(text: string, start: number, end: number, out: Uint8Array, at: number): number {
  for (let i = start; i < end; i++) {
    let point = text.charCodeAt(i);
    if (point < 0x80) {
      out[at++] = point;
      continue;
    }
    if (point >= 0xd800 && point < 0xe000) {
      const low = i + 1 < end ? text.charCodeAt(i + 1) : 0;
      const paired = point < 0xdc00 && low >= 0xdc00 && low < 0xe000;
      point = paired ? 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
      if (paired) i++;
    }
    if (point < 0x800) {
      out[at++] = 0xc0 | (point >> 6);
    } else {
      if (point < 0x10000) {
        out[at++] = 0xe0 | (point >> 12);
      } else {
        out[at++] = 0xf0 | (point >> 18);
        out[at++] = 0x80 | ((point >> 12) & 63);
      }
      out[at++] = 0x80 | ((point >> 6) & 63);
    }
    out[at++] = 0x80 | (point & 63);
  }
  return at;
}
