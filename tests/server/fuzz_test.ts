/**
 * Any body at all: the answer is valid, or an error of the client's in OpenAI's shape; nothing traps, nothing grows.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { events, metric, type TestServer, testServer } from "./serve.ts";

const BODIES: Record<string, Record<string, unknown>> = {
  "/v1/completions": { prompt: "It was late", max_tokens: 3, temperature: 1 },
  "/v1/chat/completions": { messages: [{ role: "user", content: "It was late" }], max_tokens: 3 },
  "/v1/embeddings": { input: "It was late" },
};

/** Fields that some route has. */
const FIELDS = [
  ...["model", "prompt", "messages", "input", "max_tokens", "max_completion_tokens", "temperature", "top_p"],
  ...[
    "top_k",
    "min_p",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "stop",
    "seed",
  ],
  ...[
    "n",
    "stream",
    "stream_options",
    "cache_prompt",
    "response_format",
    "locket",
    "logprobs",
    "top_logprobs",
  ],
  ...["tools", "tool_choice", "parallel_tool_calls", "modalities", "echo", "best_of", "suffix", "dimensions"],
  ...["encoding_format", "user", "functions"],
];

const value = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  fc.constantFrom<unknown>(
    0,
    -1,
    1,
    0.5,
    1e308,
    -1e308,
    2 ** 53,
    2 ** 31,
    5e-324,
    true,
    false,
    null,
    "",
    "\ud800",
  ),
  fc.constantFrom<unknown>(
    [],
    {},
    [[]],
    [{}],
    ["x"],
    [1],
    [-1],
    [1e9],
    "text",
    "auto",
    "required",
    "float",
    "base64",
  ),
  fc.string({ unit: "binary" }),
);

/** Something that resembles a schema. */
const schema = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    value,
    fc.record({
      type: fc.constantFrom("object", "array", "string", "number", "integer", "boolean", "null", "x"),
      properties: fc.dictionary(fc.string(), tie("any"), { maxKeys: 3 }),
      required: fc.array(fc.string(), { maxLength: 2 }),
      additionalProperties: tie("any"),
      items: tie("any"),
      prefixItems: fc.array(tie("any"), { maxLength: 2 }),
      anyOf: fc.array(tie("any"), { maxLength: 3 }),
      oneOf: fc.array(tie("any"), { maxLength: 3 }),
      enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 3 }),
      const: fc.jsonValue({ maxDepth: 1 }),
      $ref: fc.constantFrom("#", "#/properties", "#/items", "#/anyOf/0", "#/a%ZZ~2", "x"),
      minLength: fc.integer({ min: -1, max: 4 }),
      maxItems: fc.integer({ min: -1, max: 4 }),
      minimum: fc.double(),
      exclusiveMaximum: fc.double(),
    }, { requiredKeys: [] }),
  ),
})).any;

/** A good body in which something has been put. */
const mutated = fc.tuple(
  fc.constantFrom(...Object.keys(BODIES)),
  fc.array(fc.tuple(fc.constantFrom(...FIELDS), value), { maxLength: 3 }),
)
  .map(([path, changes]) =>
    [path, JSON.stringify({ ...BODIES[path], ...Object.fromEntries(changes) })] as const
  );

const held = fc.tuple(schema, fc.boolean(), fc.boolean()).map(([schema, stream, asTool]) => {
  const more = asTool
    ? { tools: [{ type: "function", function: { name: "f", parameters: schema } }], tool_choice: "required" }
    : { response_format: { type: "json_schema", json_schema: { schema } } };
  return [
    "/v1/chat/completions",
    JSON.stringify({ ...BODIES["/v1/chat/completions"], stream, ...more }),
  ] as const;
});

const told = fc.tuple(
  fc.array(
    fc.record({ role: fc.constantFrom("user", "assistant", "tool", "x"), content: value, more: value }),
  ),
  value,
)
  .map(([messages, tools]) =>
    ["/v1/chat/completions", JSON.stringify({ messages, tools, max_tokens: 2 })] as const
  );

const rawText = fc.oneof(
  fc.json(),
  fc.string({ unit: "binary" }),
  fc.nat(20_000).map((n) => "[".repeat(n)),
  fc.nat(5000).map((n) => `{"prompt":${"[".repeat(n)}${"]".repeat(n)}}`),
  fc.nat(3000).map((n) =>
    `{"messages":[{"role":"user","content":"x","a":${'{"a":'.repeat(n)}1${"}".repeat(n)}}]}`
  ),
  fc.nat(400).map((n) => JSON.stringify({ ...BODIES["/v1/completions"], prompt: "é".repeat(100 * n) })),
);

const raw = fc.tuple(
  fc.constantFrom(...Object.keys(BODIES)),
  fc.oneof(rawText, fc.uint8Array({ maxLength: 200 })),
);

async function assertAnswer(api: TestServer, path: string, body: string | Uint8Array): Promise<void> {
  const response = await api.get(path, { method: "POST", body: body as BodyInit });
  const shown = `${path} ${typeof body === "string" ? body.slice(0, 500) : body}`;
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
    const data = await events(response);
    assertEquals(data.pop(), "[DONE]", shown);
    for (const text of data) assert(JSON.parse(text).choices !== undefined, `${text} of ${shown}`);
    return;
  }
  const { error, ...answer } = await response.json();
  if (response.status === 200) {
    assert(error === undefined && (answer.choices?.length ?? answer.data?.length) > 0, shown);
    return;
  }
  assert(
    response.status >= 400 && response.status < 500,
    `${response.status} ${JSON.stringify(error)} of ${shown}`,
  );
  assert(
    typeof error.message === "string" && error.message.length <= 1000 && typeof error.type === "string",
    shown,
  );
}

Deno.test("any body gets a valid answer or an error of the client's, and memory stays", async () => {
  await using api = await testServer({ maxTokens: 3, maxBodyBytes: 30_000 }, { context: 96 });
  const memory = api.model.memoryBytes;
  for (const bodies of [mutated, held, told, raw]) {
    await fc.assert(
      fc.asyncProperty(
        bodies as fc.Arbitrary<readonly [string, string | Uint8Array]>,
        async ([path, body]) => {
          await assertAnswer(api, path, body);
        },
      ),
      { numRuns: 250 },
    );
  }
  assertEquals([api.model.memoryBytes, api.model.brokenGuards()], [memory, []]);
  for (const gauge of ["running", "waiting"]) assertEquals(await metric(api, `locket_requests_${gauge}`), 0);
});

Deno.test("schemas of thousands of parts are answered, or refused", async () => {
  await using api = await testServer({ maxTokens: 2 });
  const links = (n: number) =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [
      `d${i}`,
      {
        anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }, {
          type: "array",
          items: { $ref: `#/$defs/d${i + 1}` },
        }],
      },
    ]));
  const schemas = [
    { $ref: "#/$defs/d0", $defs: { ...links(60), d60: { type: "null" } } },
    { $ref: "#/$defs/d0", $defs: { ...links(3000), d3000: { type: "null" } } },
    {
      anyOf: Array.from(
        { length: 2000 },
        (_, i) => ({ type: "object", properties: { a: { const: i } }, required: ["a"] }),
      ),
    },
    { oneOf: Array.from({ length: 2000 }, (_, i) => ({ const: i })) },
    { enum: Array.from({ length: 40_000 }, (_, i) => `value ${i}`) },
    { type: "object", properties: Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`p${i}`, {}])) },
    { type: "array", minItems: 1e9, items: {} },
    { type: "string", minLength: 1e15 },
  ];
  for (const schema of schemas) {
    const body = {
      ...BODIES["/v1/chat/completions"],
      max_tokens: 2,
      response_format: { type: "json_schema", json_schema: { schema } },
    };
    const response = await api.post("/v1/chat/completions", body);
    await response.body?.cancel();
    assert([200, 400].includes(response.status), `${response.status}`);
  }
});
