/**
 * Conversations that outlive the command: the note of a session.
 *
 * @module
 */
import { SnapshotError } from "../error.ts";
import type { ChatMessage } from "../tokenizer/mod.ts";

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
