/**
 * `POST /v1/embeddings`.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import { checkId } from "../generate/options.ts";
import type { Model } from "../model/engine.ts";
import { ApiError } from "./api_error.ts";
import type { EmbeddingsRequest } from "./schemas.ts";

/** Texts to embed, and how the vectors are wanted. */
export interface EmbeddingTask {
  readonly texts: readonly (readonly number[])[];
  /** Numbers of each vector. */
  readonly dimensions: number;
  readonly base64: boolean;
}

/**
 * The texts of a request, each checked before any is computed.
 *
 * @throws {ApiError} When a text is empty or too long, or more dimensions are wanted than there are.
 * @throws {OptionError} When an id is no token.
 */
export function embeddingTask({ tokenizer, plan }: Model, request: EmbeddingsRequest): EmbeddingTask {
  const { input } = request;
  const many = Array.isArray(input) && typeof input[0] !== "number";
  const inputs = (many ? input : [input]) as (string | number[])[];
  const texts = inputs.map((text) => typeof text === "string" ? tokenizer.encode(text) : text);
  for (const [i, ids] of texts.entries()) {
    const at = many ? `input[${i}]` : "input";
    if (ids.length === 0 || inputs[i] === "") throw new ApiError(400, "A text is empty", "invalid_value", at);
    if (ids.length > plan.context) {
      const message = `A text has ${ids.length} tokens, the context holds ${plan.context}`;
      throw new ApiError(400, message, "context_length_exceeded", at);
    }
    for (const id of ids) checkId(at, id, tokenizer.nVocab);
  }
  const { dim } = plan.hparams;
  const dimensions = request.dimensions ?? dim;
  if (dimensions > dim) throw new OptionError("dimensions", dimensions, `at most the model's ${dim}`);
  return { texts, dimensions, base64: request.encoding_format === "base64" };
}

/** The body of the answer. */
export function embeddingAnswer(
  vectors: readonly Float32Array[],
  { texts, dimensions, base64 }: EmbeddingTask,
  model: string,
): unknown {
  const promptTokens = texts.reduce((sum, { length }) => sum + length, 0);
  return {
    object: "list",
    data: vectors.map((vector, index) => {
      const short = shortened(vector, dimensions);
      return { object: "embedding", index, embedding: base64 ? base64Of(short) : Array.from(short) };
    }),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

/** The first numbers of a vector, at length 1 again. */
function shortened(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions === vector.length) return vector;
  const head = vector.subarray(0, dimensions);
  const length = Math.hypot(...head);
  return length > 0 ? head.map((x) => x / length) : head;
}

/** Little-endian f32, as OpenAI's clients read it. */
function base64Of(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(4 * vector.length));
  vector.forEach((x, i) => view.setFloat32(4 * i, x, true));
  return btoa(String.fromCharCode(...new Uint8Array(view.buffer)));
}
