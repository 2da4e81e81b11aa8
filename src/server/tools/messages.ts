/**
 * Functions, calls and their results as messages that a chat template can read.
 *
 * @module
 */
import type { ChatMessage } from "../../tokenizer/mod.ts";
import type { ToolFormat } from "./formats.ts";
import type { FunctionTool } from "./functions.ts";

/** A call within an assistant's message. */
export interface MessageCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

/** A message whose content is text. */
export interface TextMessage extends ChatMessage {
  readonly content: string;
  readonly tool_calls?: readonly MessageCall[];
}

/** For a template that knows functions: arguments as the objects that templates write out themselves. */
export function withParsedCalls(messages: readonly TextMessage[]): ChatMessage[] {
  return messages.map(({ tool_calls: calls, ...message }) => {
    if (calls === undefined) return message;
    const parsed = calls.map(({ id, type, function: { name, arguments: text } }) => ({
      ...{ id, type },
      function: { name, arguments: parsedOr(text) },
    }));
    return { ...message, tool_calls: parsed };
  });
}

/**
 * For a template that knows none: functions and how to call them in the first system or user message, calls as an
 * assistant's text, results as a user's.
 */
export function withToolText(
  messages: readonly TextMessage[],
  tools: readonly FunctionTool[],
  format: ToolFormat,
): ChatMessage[] {
  const plain: { role: string; content: string }[] = [];
  let results = false;
  for (const { role, content, tool_calls: calls = [] } of messages) {
    if (role === "tool") {
      const text = format.resultBefore + content + format.resultBehind;
      if (results) plain[plain.length - 1].content += `\n${text}`;
      else plain.push({ role: "user", content: text });
    } else {
      const texts = calls.map((call) => callText(call, format));
      plain.push({ role, content: [content, ...texts].filter((text) => text !== "").join("\n") });
    }
    results = role === "tool";
  }
  if (tools.length > 0) {
    const first = plain.find(({ role }) => role === "system" || role === "user") ?? plain[0];
    const text = instructions(tools, format);
    first.content = first.role === "system" ? `${first.content}\n\n${text}` : `${text}\n\n${first.content}`;
  }
  return plain;
}

function instructions(tools: readonly FunctionTool[], { before, behind, argumentsKey }: ToolFormat): string {
  const lines = tools.map(({ function: { name, description, parameters } }) =>
    JSON.stringify({ name, description: description ?? undefined, parameters })
  );
  const call = `${before}{"name": NAME, "${argumentsKey}": OBJECT}\n${behind}`;
  return ["You can call these functions:", ...lines, "To call one, reply with:", call].join("\n");
}

function callText({ function: call }: MessageCall, { before, behind, argumentsKey }: ToolFormat): string {
  return `${before}${
    JSON.stringify({ name: call.name, [argumentsKey]: parsedOr(call.arguments) })
  }\n${behind}`;
}

/** What a model once wrote as arguments, parsed where it is JSON. */
function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
