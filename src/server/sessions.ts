/**
 * Conversations whose cache outlives the request: restored before the prompt is read, saved after the reply.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Session } from "../session/session.ts";
import { checkSessionId, type SessionStore } from "../stores/store.ts";
import { ApiError } from "./api_error.ts";

/** Names the conversation of a request. */
export const SESSION_HEADER = "x-locket-session";

/** One conversation in its store. */
export class Conversation {
  constructor(private readonly store: SessionStore, private readonly id: string) {}

  /**
   * Puts what is stored of the conversation into a session. The request brings the whole text, so that whatever can't be
   * restored is only computed again.
   */
  async begin(session: Session): Promise<void> {
    try {
      const stored = await this.store.load(this.id);
      if (stored === undefined) await session.forget();
      else await session.restoreFrom(stored);
    } catch (error) {
      console.error(error);
      await session.forget();
    }
  }

  /** Stores the conversation with its reply. Where that fails, the last one stays, and the reply is none the worse. */
  async end(session: Session): Promise<void> {
    try {
      await this.store.save(this.id, (maxBytes) => session.saveChunks(maxBytes));
    } catch (error) {
      console.error(error);
    }
  }
}

/**
 * The conversation that a request continues, named by its header or by the field `locket.session`; `undefined` when it
 * names none.
 *
 * @throws {ApiError} 400 when its name is none, or this server keeps no conversations.
 */
export function conversationOf(
  request: Request,
  field: string | null | undefined,
  store: SessionStore | undefined,
): Conversation | undefined {
  const header = request.headers.get(SESSION_HEADER);
  const id = header ?? field;
  if (id == null) return undefined;
  const param = header === null ? "locket.session" : SESSION_HEADER;
  if (store === undefined) {
    throw new ApiError(400, "This server keeps no sessions", "sessions_not_kept", param);
  }
  try {
    return new Conversation(store, checkSessionId(id));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new ApiError(400, error.message, "invalid_value", param);
  }
}
