/**
 * The functions of a request, and what a reply is held to by them.
 *
 * @module
 */
import type { Constraint } from "../../sample/constraint.ts";
import {
  CallGrammar,
  FreeUntilCall,
  JSON_OBJECT,
  schemaStack,
  TokenConstraint,
} from "../../structured/mod.ts";
import type { Tokenizer } from "../../tokenizer/mod.ts";
import { ApiError } from "../api_error.ts";
import { type ToolFormat, toolFormat } from "./formats.ts";

/** A function as OpenAI's API describes it. */
export interface FunctionTool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string | null;
    readonly parameters?: unknown;
  };
}

/** Which of them may be called. */
export type ToolChoice =
  | "none"
  | "auto"
  | "required"
  | { readonly type: "function"; readonly function: { readonly name: string } };

/** The functions of a request, and how they are called. */
export interface ToolRules {
  readonly tools: readonly FunctionTool[];
  readonly choice: ToolChoice;
  /** Whether a reply may have more than one call. */
  readonly parallel: boolean;
  readonly format: ToolFormat;
}

/** Where there are none. */
export const NO_TOOLS: ToolRules = { tools: [], choice: "none", parallel: false, format: toolFormat("") };

/** What the text of a reply is to be. */
export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object" }
  | { readonly type: "json_schema"; readonly json_schema: { readonly schema: unknown } };

/** What a reply's schema is called in errors. */
const SCHEMA_PATH = "response_format.json_schema.schema";

const NO_PARAMETERS = { type: "object", additionalProperties: false };

/**
 * What a reply is held to; `undefined` for nothing.
 *
 * @throws {ApiError} When a function is chosen that is not there.
 * @throws {OptionError} Naming the place in a schema that is wrong or not supported.
 */
export function replyConstraint(
  tokenizer: Tokenizer,
  { tools, choice, parallel, format }: ToolRules,
  responseFormat: ResponseFormat | null | undefined,
): Constraint | undefined {
  const text = textStacks(responseFormat);
  if (tools.length === 0 || choice === "none") {
    return text.length > 0 ? new TokenConstraint(tokenizer, text) : undefined;
  }
  const grammar = new CallGrammar(chosen(tools, choice), format, parallel && typeof choice === "string");
  if (choice !== "auto") return new TokenConstraint(tokenizer, [grammar.calls(false)]);
  if (text.length > 0) return new TokenConstraint(tokenizer, [grammar.calls(false), ...text]);
  return format.before === "" ? undefined : new FreeUntilCall(tokenizer, grammar);
}

function textStacks(format: ResponseFormat | null | undefined) {
  if (format == null || format.type === "text") return [];
  if (format.type === "json_object") return [schemaStack(JSON_OBJECT, "response_format")];
  return [schemaStack(format.json_schema.schema, SCHEMA_PATH)];
}

function chosen(tools: readonly FunctionTool[], choice: ToolChoice) {
  const callable = tools.map(({ function: { name, parameters } }, i) => ({
    name,
    parameters: parameters ?? NO_PARAMETERS,
    path: `tools[${i}].function.parameters`,
  }));
  if (typeof choice === "string") return callable;
  const one = callable.filter(({ name }) => name === choice.function.name);
  if (one.length > 0) return one;
  const message = `There is no function ${choice.function.name} among the tools`;
  throw new ApiError(400, message, "invalid_value", "tool_choice");
}
