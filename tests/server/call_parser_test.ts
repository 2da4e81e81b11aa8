/**
 * Taking calls out of a reply: the same whatever the pieces that it comes in.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type ToolFormat, toolFormat } from "../../src/server/tools/formats.ts";
import { CallParser } from "../../src/server/tools/parser.ts";

const TAGGED = toolFormat("");
const BARE = toolFormat('{{ tools }} {"name": x, "parameters": y}');

/** Text and calls of a reply that comes in these pieces. */
function parsed(format: ToolFormat, pieces: string[]): { text: string; calls: string[] } {
  const parser = new CallParser(format, ["f", "g"]);
  const parts = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.flush()];
  const calls: string[] = [];
  for (const part of parts) {
    if ("call" in part) calls.push(part.call);
    else if ("arguments" in part) calls[calls.length - 1] += part.arguments;
  }
  assertEquals(parser.calls, calls.length);
  return { text: parts.map((part) => "text" in part ? part.text : "").join(""), calls };
}

const CALL = '<tool_call>\n{"name": "f", "arguments": {"a": "</tool_call>"}}\n</tool_call>';
const CASES: [format: ToolFormat, reply: string, text: string, calls: string[]][] = [
  [TAGGED, "Just text.", "Just text.", []],
  [TAGGED, "", "", []],
  [TAGGED, CALL, "", ['f{"a": "</tool_call>"}']],
  [TAGGED, `Let me see.\n${CALL}\n${CALL.replace("f", "g")}`, "Let me see.\n", [
    'f{"a": "</tool_call>"}',
    'g{"a": "</tool_call>"}',
  ]],
  [TAGGED, `a <tool_call`, "a <tool_call", []],
  [TAGGED, `a <tool_call>{"name"`, 'a <tool_call>{"name"', []],
  [
    TAGGED,
    `<tool_call>{"name": "h", "arguments": {}}</tool_call>`,
    `<tool_call>{"name": "h", "arguments": {}}</tool_call>`,
    [],
  ],
  [
    TAGGED,
    `<tool_call>{"name": "f", "arguments": 1}</tool_call> x`,
    `<tool_call>{"name": "f", "arguments": 1}</tool_call> x`,
    [],
  ],
  [TAGGED, `<tool_call>{"name": "f", "arguments": {}}`, "", ["f{}"]],
  [TAGGED, `<tool_call>{"arguments": {"b": [ ]}, "name": "f"}</tool_call>.`, ".", ['f{"b":[]}']],
  [TAGGED, `<tool_call>{"name": "f", "arguments": {"b": [1`, "", ['f{"b": [1']],
  [BARE, '{"name": "f", "parameters": {"a": 1}}', "", ['f{"a": 1}']],
  [BARE, '\n {"name": "f", "parameters": {}} ', "", ["f{}"]],
  [BARE, '{"name": "h", "parameters": {}}', '{"name": "h", "parameters": {}}', []],
  [BARE, "No { here", "No { here", []],
  [BARE, '{"name": "f"', '{"name": "f"', []],
];

Deno.test("calls and text come apart the same in any pieces", () => {
  for (const [format, reply, text, calls] of CASES) {
    fc.assert(
      fc.property(fc.array(fc.nat(reply.length), { maxLength: 8 }), (cuts) => {
        const ends = [...cuts, reply.length].sort((a, b) => a - b);
        const pieces = ends.map((end, i) => reply.slice(ends[i - 1] ?? 0, end));
        assertEquals(parsed(format, pieces), { text, calls });
      }),
      { numRuns: 60 },
    );
  }
});

Deno.test("nothing of a reply without a call is lost", () => {
  const bits = fc.constantFrom(
    "<tool_call>",
    "</tool_call>",
    "<tool",
    "_call>",
    "x",
    "{",
    "}",
    "\n",
    '"name"',
    "é",
  );
  fc.assert(fc.property(fc.array(bits), fc.constantFrom(TAGGED, BARE), (pieces, format) => {
    assertEquals(parsed(format, pieces), { text: pieces.join(""), calls: [] });
  }));
});
