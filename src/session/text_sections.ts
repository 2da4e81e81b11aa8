/**
 * What a session saves beside its sequence: its text, and a note of the caller's.
 *
 * @module
 */
import { OptionError, SnapshotError } from "../error.ts";
import type { Section } from "../snapshot/section.ts";
import { stagedSection } from "../snapshot/staged_section.ts";

/** Largest note, in bytes of UTF-8. */
const NOTE_BYTES = 2 ** 20;

/** A value that is saved and restored. */
export interface Kept<T> {
  get(): T;
  set(value: T): void;
}

/**
 * Ids of all tokens that were read or chosen. The sequence holds those before its position.
 *
 * @param nVocab Ids lie below.
 * @param context Tokens that the text can have; one more can have been chosen.
 */
export function textSection(ids: Kept<readonly number[]>, nVocab: number, context: number): Section {
  return stagedSection("text", {
    save: () => new Uint8Array(Uint32Array.from(ids.get()).buffer),
    fits: (bytes, { position }) => bytes % 4 === 0 && bytes >= 4 * position && bytes <= 4 * (context + 1),
    check(bytes) {
      const bad = new Uint32Array(bytes.buffer).find((id) => id >= nVocab);
      if (bad !== undefined) throw new SnapshotError("a token of its text", bad, `ids below ${nVocab}`);
    },
    apply: (bytes) => ids.set([...new Uint32Array(bytes.buffer)]),
  });
}

/** Text of the caller's own. @throws {OptionError} When saving one that is too large. */
export function noteSection(note: Kept<string>): Section {
  return stagedSection("note", {
    save() {
      const bytes = new TextEncoder().encode(note.get());
      if (bytes.length <= NOTE_BYTES) return bytes;
      throw new OptionError("note", `${bytes.length} bytes`, `at most ${NOTE_BYTES}`);
    },
    fits: (bytes) => bytes <= NOTE_BYTES,
    apply: (bytes) => note.set(new TextDecoder().decode(bytes)),
  });
}
