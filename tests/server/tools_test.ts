/**
 * Functions: calls that a model is held to, whatever its weights, in OpenAI's shapes; and what it gets to read of them.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { assertValid } from "../structured/schemas.ts";
import { events, testServer } from "./serve.ts";

const messages = [{ role: "user", content: "What is the weather in Oslo?" }];
const CITY = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 }, unit: { enum: ["C", "F"] } },
  required: ["city", "unit"],
  additionalProperties: false,
};
const weather = { type: "function", function: { name: "weather", description: "Now", parameters: CITY } };
const clock = { type: "function", function: { name: "clock" } };
const SCHEMAS: Record<string, unknown> = { weather: CITY, clock: { type: "object", maxProperties: 0 } };

/** Hands over all that it gets, as JSON. */
const SHOWING =
  "{{ tools | tojson if tools else 'none' }}{% for m in messages %}[{{ m | tojson }}]{% endfor %}";

// deno-lint-ignore no-explicit-any
type Call = any;

function assertCalls(calls: Call[], names: string[]): void {
  for (const { id, type, function: { name, arguments: text } } of calls) {
    assertMatch(id, /^call_[0-9a-f]{24}$/);
    assertEquals(type, "function");
    assert(names.includes(name), name);
    assertValid(SCHEMAS[name], text);
  }
}

/** Puts the deltas of a stream together, as clients do. */
function joined(chunks: Call[]): { content: string; calls: Call[]; pieces: number; reason: string } {
  const calls: Call[] = [];
  let content = "";
  let pieces = 0;
  for (const { delta } of chunks) {
    content += delta.content ?? "";
    for (const { index, id, type, function: call } of delta.tool_calls ?? []) {
      if (id !== undefined) calls[index] = { id, type, function: { name: call.name, arguments: "" } };
      calls[index].function.arguments += call.arguments;
      pieces += call.arguments === "" ? 0 : 1;
    }
  }
  return { content, calls, pieces, reason: chunks.at(-1).finish_reason };
}

const CHOICES: [name: string, more: Record<string, unknown>, names: string[], most: number][] = [
  ["required", { tool_choice: "required" }, ["weather", "clock"], 16],
  ["one at most", { tool_choice: "required", parallel_tool_calls: false }, ["weather", "clock"], 1],
  ["by name", { tool_choice: { type: "function", function: { name: "weather" } } }, ["weather"], 1],
];

for (
  const [title, template] of [["tags", undefined], [
    "a bare object",
    `${SHOWING}{# {"name": x, "parameters": y} #}`,
  ]]
) {
  for (const [name, more, names, most] of CHOICES) {
    Deno.test(`a call that is ${name} comes with valid arguments, written with ${title}`, async () => {
      await using api = await testServer({ ...(template ? { chatTemplate: template } : {}) });
      // once it may end, it does
      const logit_bias = Object.fromEntries([...api.model.tokenizer.eogIds].map((id) => [id, 100]));
      let complete = 0;
      for (let seed = 0; seed < 5; seed++) {
        const body = {
          messages,
          tools: [weather, clock],
          ...more,
          logit_bias,
          max_tokens: 200,
          temperature: 1,
          seed,
          cache_prompt: false,
        };
        const { message, finish_reason: reason } =
          (await (await api.post("/v1/chat/completions", body)).json()).choices[0];
        const response = await api.post("/v1/chat/completions", { ...body, stream: true });
        const stream = joined(
          (await events(response)).slice(0, -1).map((text) => JSON.parse(text).choices[0]),
        );
        const bare = (calls: Call[] = []) => calls.map((call) => call.function);
        assertEquals([bare(stream.calls), stream.content, stream.reason], [
          bare(message.tool_calls),
          message.content ?? "",
          reason,
        ]);
        const written = names.length > 1 || stream.pieces >= 2 * stream.calls.length;
        assert(written, "arguments come as they are written");
        if (reason === "length") continue;
        complete++;
        assertEquals([reason, message.content], ["tool_calls", null]);
        assert(message.tool_calls.length >= 1 && message.tool_calls.length <= most);
        assertCalls(message.tool_calls, names);
        assertCalls(stream.calls, names);
      }
      assert(complete > 0);
    });
  }
}

Deno.test("on its own a model may write text, and a call that it begins is held to its schema", async () => {
  await using api = await testServer({ chatTemplate: "{% for m in messages %}{{ m.content }}{% endfor %}" });
  const { tokenizer } = api.model;
  const body = { messages, tools: [weather, clock], max_tokens: 40, temperature: 1 };
  const text = (await (await api.post("/v1/chat/completions", { ...body, seed: 1 })).json()).choices[0];
  assertEquals([text.message.tool_calls, text.finish_reason], [undefined, "length"]);
  const none = await api.post("/v1/chat/completions", { ...body, seed: 1, tool_choice: "none" });
  assertEquals((await none.json()).choices[0].message.tool_calls, undefined);

  // the model can't be made to begin a call by its weights, but by a bias on each token of the tag in turn
  const { FreeUntilCall, CallGrammar } = await import("../../src/structured/mod.ts");
  const { toolFormat } = await import("../../src/server/tools/formats.ts");
  const grammar = new CallGrammar([{ name: "weather", parameters: CITY, path: "p" }], toolFormat(""), true);
  const constraint = new FreeUntilCall(tokenizer, grammar);
  const mask = new Uint32Array(Math.ceil(tokenizer.nVocab / 32));
  const written =
    'So: <tool_call>{"name": "weather", "arguments": {"city": "Oslo", "unit": "C"}}\n</tool_call>';
  let held = false;
  for (const id of tokenizer.encode(written, { addSpecial: false })) {
    if (constraint.fill(mask)) {
      held = true;
      assert(mask[id >>> 5] >>> (id & 31) & 1, tokenizer.decode([id]));
    } else assert(!held);
    constraint.accept(id);
  }
  assert(held);
  assertEquals(constraint.fill(mask), true);
  assert([...tokenizer.eogIds].every((id) => mask[id >>> 5] >>> (id & 31) & 1), "it may end now");
});

Deno.test("both tools and a schema: the reply is a call or what the schema asks for", async () => {
  await using api = await testServer();
  const response_format = {
    type: "json_schema",
    json_schema: { name: "n", schema: { type: "integer", maximum: 9, minimum: 1 } },
  };
  for (let seed = 0; seed < 6; seed++) {
    const body = { messages, tools: [weather], response_format, max_tokens: 200, temperature: 3, seed };
    const { message, finish_reason: reason } =
      (await (await api.post("/v1/chat/completions", body)).json()).choices[0];
    if (reason === "tool_calls") assertCalls(message.tool_calls, ["weather"]);
    else if (reason === "stop") assertMatch(message.content, /^\s*[1-9]\s*$/);
  }
});

const HISTORY = [
  { role: "system", content: "Be brief." },
  ...messages,
  {
    role: "assistant",
    content: null,
    tool_calls: [{
      id: "call_1",
      type: "function",
      function: { name: "weather", arguments: '{"city":"Oslo","unit":"C"}' },
    }],
  },
  { role: "tool", tool_call_id: "call_1", content: "3 degrees" },
];

/** The prompt that a template makes of a request. */
async function promptOf(template: string, body: Record<string, unknown>): Promise<string> {
  await using api = await testServer({ chatTemplate: template });
  const { planChat } = await import("../../src/server/chat.ts");
  const { readChat } = await import("../../src/server/schemas.ts");
  const { task } = planChat(api.model, readChat({ max_tokens: 1, ...body }), template);
  assertEquals((await api.post("/v1/chat/completions", { max_tokens: 1, ...body })).status, 200);
  return api.model.tokenizer.decode(task.ids);
}

Deno.test("a template that knows functions gets them, and arguments as objects", async () => {
  const prompt = await promptOf(SHOWING, { messages: HISTORY, tools: [weather] });
  const [tools, ...read] = prompt.replaceAll("][", "]\n[").replace("}][", "}]\n[").split("\n");
  assert(tools.includes('"name": "weather"') && tools.includes('"city"'), tools);
  assert(read.join().includes('"arguments": {"city": "Oslo", "unit": "C"}'), prompt);
  assert(read.join().includes('"tool_call_id": "call_1"'), prompt);
  assert((await promptOf(SHOWING, { messages, tools: [weather], tool_choice: "none" })).includes("none["));
});

Deno.test("a template that knows none gets them as text", async () => {
  const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
  const prompt = await promptOf(template, { messages: HISTORY, tools: [weather] });
  assertEquals(
    prompt,
    "<system>Be brief.\n\nYou can call these functions:\n" + JSON.stringify(weather.function) +
      '\nTo call one, reply with:\n<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>' +
      "<user>What is the weather in Oslo?<assistant><tool_call>\n" +
      '{"name":"weather","arguments":{"city":"Oslo","unit":"C"}}\n</tool_call>' +
      "<user><tool_response>\n3 degrees\n</tool_response>",
  );
});

Deno.test("wrong tools are refused by name", async () => {
  await using api = await testServer();
  const named = (name: string) => ({ type: "function", function: { name } });
  const cases: [more: Record<string, unknown>, param: string][] = [
    [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
    [{ tools: [named("a b")] }, "tools[0].function.name"],
    [{ tools: [clock, clock] }, "tools"],
    [{ tools: [weather], tool_choice: named("clock") }, "tool_choice"],
    [{ tools: [weather], tool_choice: "sometimes" }, "tool_choice"],
    [
      {
        tools: [{ type: "function", function: { name: "f", parameters: { type: "string", pattern: "x" } } }],
      },
      "tools[0].function.parameters.pattern",
    ],
    [{ messages: [{ role: "assistant", tool_calls: [{ id: 1 }] }] }, "messages[0].tool_calls[0].id"],
  ];
  for (const [more, param] of cases) {
    const response = await api.post("/v1/chat/completions", { messages, ...more });
    const { error } = await response.json();
    assertEquals([response.status, error.param], [400, param], JSON.stringify(more));
  }
});
