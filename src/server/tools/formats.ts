/**
 * How models write calls of functions, by what their chat templates say of it. A new format is a row.
 *
 * @module
 */
import type { CallSyntax } from "../../structured/mod.ts";

/** A way to write calls. */
export interface ToolFormat extends CallSyntax {
  /** What stands around the result of a call, where a template has no messages for it. */
  readonly resultBefore: string;
  readonly resultBehind: string;
}

/** Hermes, Qwen 2.5 and 3, SmolLM and others; also what a model is told to write whose template knows no functions. */
const TAGGED: ToolFormat = {
  before: "<tool_call>\n",
  behind: "</tool_call>",
  argumentsKey: "arguments",
  resultBefore: "<tool_response>\n",
  resultBehind: "\n</tool_response>",
};

/** Llama 3.1 and later: a reply that is nothing but the object. */
const BARE: ToolFormat = { ...TAGGED, before: "", behind: "", argumentsKey: "parameters" };

/** Whether a chat template shows functions to the model. */
export const knowsTools = (template: string): boolean => /\btools\b/.test(template);

/** The format of a model with this chat template. */
export function toolFormat(template: string): ToolFormat {
  return knowsTools(template) && !template.includes("<tool_call>") && /"parameters"/.test(template)
    ? BARE
    : TAGGED;
}
