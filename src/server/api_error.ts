/**
 * Errors in the shape that OpenAI's clients read.
 *
 * @module
 */
import { GgufError, OptionError } from "../error.ts";

/** What went wrong with a request, to be answered with `status`. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  /** @param retryAfter Seconds after which to try again. */
  constructor(
    readonly status: 400 | 401 | 404 | 413 | 429 | 499 | 500 | 503,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
    readonly retryAfter?: number,
  ) {
    super(message);
  }

  /** The body of the answer. */
  toJSON(): unknown {
    const message = this.message.slice(0, MOST_CHARACTERS);
    return { error: { message, type: TYPES[this.status], param: this.param, code: this.code } };
  }

  /** The answer. */
  response(): Response {
    const headers = new Headers();
    if (this.retryAfter !== undefined) headers.set("retry-after", String(this.retryAfter));
    return Response.json(this, { status: this.status, headers });
  }
}

const TYPES: Record<ApiError["status"], string> = {
  400: "invalid_request_error",
  401: "authentication_error",
  404: "not_found_error",
  413: "invalid_request_error",
  429: "rate_limit_error",
  499: "client_closed_request",
  500: "server_error",
  503: "server_error",
};

/** Options of the engine by the names that requests have for them. */
const PARAMS: Record<string, string> = {
  maxTokens: "max_tokens",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repetitionPenalty: "repeat_penalty",
  frequencyPenalty: "frequency_penalty",
  presencePenalty: "presence_penalty",
  jsonSchema: "response_format",
};

/** Of a message; it may quote what a request brought. */
const MOST_CHARACTERS = 1000;

/** Any error as one that can be answered. What the caller can't help is not told in detail. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof OptionError) {
    const param = PARAMS[error.option] ?? error.option.replace(/^logitBias.*/, "logit_bias");
    const code = /context has left|length of the text/.test(error.message) ? "context_length_exceeded" : null;
    return new ApiError(400, error.message, code, param);
  }
  if (error instanceof GgufError) return new ApiError(400, error.message, "model_not_capable");
  if (error instanceof DOMException && error.name === "AbortError") {
    return new ApiError(499, "The client has gone", "client_closed_request");
  }
  return new ApiError(500, "The server failed", "internal_error");
}
