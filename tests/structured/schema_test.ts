/**
 * What the machine on bytes lets through: nothing but JSON that the schema accepts, by an independent validator; and
 * whatever has come, it can be brought to an end.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { OptionError } from "../../src/error.ts";
import { document } from "../../src/structured/items.ts";
import { readSchema } from "../../src/structured/schema.ts";
import { accepts, END, type Stack, step } from "../../src/structured/stack.ts";
import { assertValid, SCHEMAS, schemas } from "./schemas.ts";

const open = (schema: unknown): Stack[] => [document(readSchema(schema, "schema"), END)];

/** A text by drawing among the bytes that may come; soon those that end something. @param draw In [0, 1). */
function randomText(schema: unknown, draw: () => number): string {
  let stacks = open(schema);
  const bytes: number[] = [];
  while (!stacks.every((stack) => stack === END)) {
    if (stacks.some(accepts) && draw() < 0.3) break;
    const next = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) =>
      step(stacks, byte).length > 0
    );
    if (next.length === 0 && stacks.some(accepts)) break;
    assert(next.length > 0, `a blind alley after ${new TextDecoder().decode(new Uint8Array(bytes))}`);
    const ending = next.filter((byte) => '"]}'.includes(String.fromCharCode(byte)));
    const hasty = ending.length > 0 && draw() < (bytes.length > 60 ? 0.95 : 0.4);
    const among = hasty
      ? ending
      : bytes.length > 200
      ? next.filter((byte) => byte !== 0x5b && byte !== 0x7b)
      : next;
    const byte = (among.length > 0 ? among : next)[Math.floor(draw() * (among.length || next.length))];
    bytes.push(byte);
    stacks = step(stacks, byte);
    assert(bytes.length < 5000, "without end");
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes));
}

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

for (const [name, schema] of Object.entries(SCHEMAS)) {
  Deno.test(`${name}: whatever is drawn is accepted by the schema`, () => {
    for (let seed = 0; seed < 60; seed++) assertValid(schema, randomText(schema, generator(seed)));
  });
}

Deno.test("any schema: whatever is drawn is accepted by it", () => {
  fc.assert(
    fc.property(schemas, fc.nat(), (schema, seed) => {
      let text: string;
      try {
        text = randomText(schema, generator(seed));
      } catch (error) {
        // an enum or bounds may have turned out empty
        if (error instanceof OptionError) return;
        throw error;
      }
      assertValid(schema, text);
    }),
    { numRuns: 400 },
  );
});

/** Whether a text may come, whole. */
function lets(schema: unknown, text: string): boolean {
  let stacks = open(schema);
  for (const byte of new TextEncoder().encode(text)) stacks = step(stacks, byte);
  return stacks.some(accepts);
}

Deno.test("what people write comes through, compact or laid out", () => {
  const schema = SCHEMAS["a person"];
  const person = { name: "Zoë \\ \n", age: 130, 'e-mail "home"': null };
  for (const indent of [0, 2, 4, "\t"]) {
    assert(lets(schema, JSON.stringify(person, null, indent)), `${indent}`);
  }
  assert(lets({}, '{"a": [1, -0.5e-7, "\\u00e9\\/", {}, [], true]}'));
  assert(lets({ type: "integer" }, " 42"));
  fc.assert(fc.property(fc.json({ noUnicodeString: false }), (text) => {
    const value = JSON.parse(text, (_, x) => typeof x === "number" ? Math.trunc(x % 1e9) || 0 : x);
    const bare = JSON.stringify(
      value,
      (key, x) => /^[^\\"\p{Cc}]*$/u.test(key) ? x : undefined,
    );
    assert(lets({}, bare), bare);
  }));
});

Deno.test("what is no JSON or breaks the schema doesn't", () => {
  const object = { type: "object", properties: { a: { type: "integer" }, b: {} }, required: ["a"] };
  const wrong: [schema: unknown, text: string][] = [
    [object, '{"a":1,}'],
    [object, '{"b":1}'],
    [object, '{"a":1,"a":2}'],
    [object, '{"a":1.5}'],
    [object, '{"a":01}'],
    [object, '{"a":1}}'],
    [{ type: "object" }, '{"a":1,"a":2}'],
    [{ type: "array" }, "[1,]"],
    [{}, "1e999"],
    [{}, '"\\ud800"'],
    [{}, '"\\ud83e\\udd8a"'],
    [{}, '"\n"'],
    [{}, "tru"],
    [{}, "NaN"],
    [{ type: "string", maxLength: 2 }, '"abc"'],
    [{ type: "string", minLength: 2 }, '"\\n"'],
    [{ type: "integer", maximum: 99 }, "100"],
    [{ enum: ["a"] }, '"b"'],
  ];
  for (const [schema, text] of wrong) assert(!lets(schema, text), `${text} by ${JSON.stringify(schema)}`);
  for (
    const bytes of [[0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff], [0xc3, 0x22]]
  ) {
    let stacks = step(open({}), 0x22);
    for (const byte of bytes) stacks = step(stacks, byte);
    assertEquals(stacks, [], `${bytes}`);
  }
});

Deno.test("a schema that can't be held to is refused by the place in it", () => {
  const a = (inner: unknown) => ({ type: "object", properties: { a: inner } });
  const deep = Array.from({ length: 100 }).reduce<unknown>((items) => ({ type: "array", items }), {});
  const cases: [schema: unknown, option: string][] = [
    [null, "schema"],
    [[], "schema"],
    [false, "schema"],
    [a({ type: "text" }), "schema.properties.a.type"],
    [a({ pattern: "x" }), "schema.properties.a.pattern"],
    [a({ type: "string", format: "date" }), "schema.properties.a.format"],
    [a({ type: "array", uniqueItems: true }), "schema.properties.a.uniqueItems"],
    [a({ type: "array", items: { not: {} } }), "schema.properties.a.items.not"],
    [a({ type: "array", items: [{}] }), "schema.properties.a.items"],
    [a({ type: "number", minimum: "1" }), "schema.properties.a.minimum"],
    [a({ type: "integer", minimum: 3, maximum: 2 }), "schema.properties.a"],
    [a({ type: "integer", minimum: 1e300 }), "schema.properties.a"],
    [a({ type: "string", minLength: 3, maxLength: 2 }), "schema.properties.a.minLength"],
    [a({ anyOf: [] }), "schema.properties.a.anyOf"],
    [a({ anyOf: [{}], type: "string" }), "schema.properties.a.type"],
    [a({ enum: [1], type: "string" }), "schema.properties.a.enum"],
    [a({ allOf: [{}, {}] }), "schema.properties.a.allOf"],
    [a({ oneOf: [{ type: "integer" }, { type: "number" }] }), "schema.properties.a.oneOf"],
    [a({ $ref: "https://example.com/x" }), "schema.properties.a.$ref"],
    [a({ $ref: "#/$defs/x" }), "schema.properties.a.$ref"],
    [{ $ref: "#" }, "schema"],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, "schema"],
    [{ type: "object", required: ["a"], additionalProperties: false }, "schema.required"],
    [{ type: "object", properties: [] }, "schema.properties"],
    [{ type: "array", minItems: 1, items: false }, "schema.minItems"],
    [deep, `schema${".items".repeat(65)}`],
    [{ anyOf: Array.from({ length: 6000 }, () => ({ type: "null" })) }, "schema.anyOf[4999]"],
  ];
  for (const [schema, option] of cases) {
    const error = assertThrows(
      () => readSchema(schema, "schema"),
      OptionError,
      undefined,
      JSON.stringify(schema).slice(0, 200),
    );
    assertEquals(error.option, option);
  }
});
