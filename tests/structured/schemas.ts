/**
 * Schemas that replies are held to, and what tells whether one was.
 *
 * @module
 */
import { Ajv2020 } from "ajv/2020";
import fc from "fast-check";

/** By what each is about. */
export const SCHEMAS: Record<string, unknown> = {
  "any object": { type: "object" },
  "a person": {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Person",
    type: "object",
    properties: {
      name: { type: "string", minLength: 1, maxLength: 12, description: "Given name" },
      age: { type: "integer", minimum: 0, maximum: 130 },
      'e-mail "home"': { type: ["string", "null"], maxLength: 5 },
    },
    required: ["name", "age", 'e-mail "home"'],
    additionalProperties: false,
  },
  "enums and constants": {
    type: "object",
    properties: {
      size: { enum: ["S", "M", "L", 1, 12, 1.5, null, { deep: ["x"] }] },
      kind: { const: 'größe 🦊 \\ "' },
      typed: { type: "string", enum: ["日本", "日本語", "にほん", 3] },
    },
    required: ["size", "kind", "typed"],
  },
  "arrays": {
    type: "array",
    minItems: 1,
    maxItems: 4,
    items: { type: "array", prefixItems: [{ type: "boolean" }, { type: "null" }], items: false, minItems: 1 },
  },
  "a tuple and the rest": {
    type: "array",
    prefixItems: [{ type: "integer" }],
    items: { type: "string", maxLength: 3 },
    minItems: 2,
    maxItems: 3,
  },
  "numbers in bounds": {
    type: "object",
    properties: {
      share: { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 },
      cold: { type: "number", minimum: -40.5, maximum: -0.25 },
      odd: { type: "integer", exclusiveMinimum: -8, exclusiveMaximum: -6 },
      zip: { type: "integer", minimum: 10115, maximum: 10117 },
      free: { type: "number" },
      safe: { type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
      narrow: { type: "number", minimum: 0.3333, maximum: 0.3334 },
    },
    required: ["share", "cold", "odd", "zip", "free", "safe", "narrow"],
    additionalProperties: false,
  },
  "a map": { type: "object", additionalProperties: { type: "integer" }, minProperties: 2, maxProperties: 3 },
  "a choice": {
    anyOf: [
      { type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
      { type: "object", properties: { a: { type: "string", maxLength: 2 } }, required: ["a"] },
      { type: "string", maxLength: 4 },
      { type: "null" },
    ],
  },
  "one of": {
    oneOf: [
      {
        type: "object",
        properties: { is: { const: "circle" }, r: { type: "number" } },
        required: ["is", "r"],
      },
      { type: "object", properties: { is: { const: "dot" } }, required: ["is"], additionalProperties: false },
      { type: "integer" },
    ],
  },
  "a tree": {
    $ref: "#/$defs/node",
    $defs: {
      node: {
        type: "object",
        properties: {
          value: { type: "boolean" },
          children: { type: "array", items: { $ref: "#/$defs/node" }, maxItems: 2 },
        },
        required: ["value"],
        additionalProperties: false,
      },
    },
  },
  "nested": {
    type: "object",
    properties: {
      a: {
        type: "object",
        properties: {
          b: { type: "object", properties: { c: { allOf: [{ $ref: "#/definitions/c" }] } }, required: ["c"] },
        },
        required: ["b"],
      },
    },
    required: ["a"],
    definitions: { c: { type: "array", items: { type: "string", maxLength: 2 }, minItems: 1, maxItems: 2 } },
  },
};

const ajv = new Ajv2020({ strict: false, allErrors: true });

/** @throws {Error} When the text is no JSON, or the schema doesn't accept it. */
export function assertValid(schema: unknown, text: string): void {
  const value = JSON.parse(text);
  if (!ajv.validate(schema as object, value)) throw new Error(`${ajv.errorsText()}: ${text}`);
}

const bounds = (from: number, to: number) =>
  fc.tuple(fc.integer({ min: from, max: to }), fc.integer({ min: from, max: to })).map((
    [a, b],
  ) => [Math.min(a, b), Math.max(a, b)]);

/** Without members that ajv, when it compares objects, would call as methods of theirs. */
const value = (maxDepth: number) =>
  fc.jsonValue({ maxDepth }).filter((json) =>
    !/"(toString|valueOf|constructor)":/.test(JSON.stringify(json))
  );

/** Any schema that is supported, small. */
export const schemas: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  schema: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(true, {}, { type: "null" }, { type: "boolean" }, { type: ["integer", "null"] }),
    fc.record({ enum: fc.array(value(1), { minLength: 1, maxLength: 4 }) }),
    fc.record({ const: value(2) }),
    bounds(0, 4).map(([minLength, maxLength]) => ({ type: "string", minLength, maxLength })),
    bounds(-2000, 2000).map(([minimum, maximum]) => ({ type: "integer", minimum, maximum })),
    bounds(-2000, 2000).map(([low, high]) => ({
      type: "number",
      minimum: low / 16,
      exclusiveMaximum: high / 16 + 0.01,
    })),
    fc.tuple(tie("schema"), bounds(0, 3)).map(([items, [minItems, maxItems]]) => ({
      type: "array",
      items,
      minItems,
      maxItems,
    })),
    fc.tuple(
      fc.dictionary(
        fc.string({ unit: "grapheme", maxLength: 4 }).filter((name) => name !== "__proto__"),
        tie("schema"),
        {
          minKeys: 1,
          maxKeys: 3,
          noNullPrototype: true,
        },
      ),
      fc.nat(),
    ).map(([properties, mask]) => ({
      type: "object",
      properties,
      required: Object.keys(properties).filter((_, i) => mask >> i & 1),
      additionalProperties: false,
    })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
})).schema;
