/**
 * Replies held to a JSON schema, token by token.
 *
 * @module
 */
import type { Constraint } from "../sample/constraint.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import { document } from "./items.ts";
import { type JsonSchema, readSchema } from "./schema.ts";
import { END, type Stack } from "./stack.ts";
import { TokenConstraint } from "./token_constraint.ts";

export type { JsonSchema };
export { type CallableFunction, CallGrammar, type CallSyntax, FreeUntilCall } from "./calls.ts";
export { TokenConstraint };

/** Everything that is a JSON object: what OpenAI's API calls `json_object`. */
export const JSON_OBJECT: JsonSchema = { type: "object" };

/**
 * Holds a reply to a schema: when it is complete, it is JSON that the schema accepts, whatever the model.
 *
 * @param name What the schema is called in errors.
 * @throws {OptionError} Naming the place in the schema that is wrong or not supported.
 */
export function schemaConstraint(tokenizer: Tokenizer, schema: unknown, name: string): Constraint {
  return new TokenConstraint(tokenizer, [schemaStack(schema, name)]);
}

/** A value that the schema accepts, as what is to come. Throws as {@link schemaConstraint} does. */
export const schemaStack = (schema: unknown, name: string): Stack => document(readSchema(schema, name), END);

/** @throws {OptionError} As {@link schemaConstraint} does. */
export function checkSchema(schema: unknown, name: string): void {
  readSchema(schema, name);
}
