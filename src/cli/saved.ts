/**
 * Texts that outlive the command: `--save` and `--from`.
 *
 * @module
 */
import { OptionError, SnapshotError } from "../error.ts";
import { replaceFile } from "../runtime/session_files.ts";
import type { ChatMessage } from "../tokenizer/mod.ts";

/** Bytes that are written at once. */
export const SAVED_AT_ONCE = 2 ** 20;

/**
 * Writes a snapshot to the file that `--save` names; the last one stays until it is whole.
 *
 * @throws {OptionError} When it can't be written.
 */
export async function saveChunks(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  try {
    await replaceFile(path, chunks);
  } catch (error) {
    throw new OptionError("save", path, `a file that can be written: ${(error as Error).message}`);
  }
}

/** The messages of a conversation, as a session's note keeps them. */
export const writeMessages = (messages: readonly ChatMessage[]): string => JSON.stringify(messages);

/**
 * The messages that a session's note keeps.
 *
 * @throws {SnapshotError} When it keeps none.
 */
export function readMessages(note: string): ChatMessage[] {
  try {
    const messages = JSON.parse(note);
    const sound = Array.isArray(messages) &&
      messages.every(({ role, content }) => typeof role === "string" && typeof content === "string");
    if (sound) return messages;
  } catch {
    // no JSON
  }
  throw new SnapshotError("its note", "another one", "the messages of a chat");
}
