/**
 * The keywords of JSON Schema that tell what a value of one type may be.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Node } from "./nodes.ts";
import { isWide } from "./number.ts";

/** A schema's keywords. */
export type Keywords = Record<string, unknown>;

/** Reads a schema within the one at hand. */
export type Inner = (schema: unknown, path: string) => Node;

/** Keywords that tell what a value of a type may be, by the type. */
export const KEYWORDS = {
  object: ["properties", "required", "additionalProperties", "minProperties", "maxProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
  string: ["minLength", "maxLength", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
} as const;

/** Formats that mean something: a text would have to be one to its last character. */
const FORMATS = new Set([
  ...[
    "date",
    "time",
    "date-time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
  ],
  ...["uuid", "uri", "uri-reference", "iri", "iri-reference", "uri-template", "regex"],
  ...["json-pointer", "relative-json-pointer"],
]);

const encoder = new TextEncoder();

/** Whether a value is an object of JSON. */
export const isRecord = (value: unknown): value is Keywords =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** An object: those of its properties that are named, or any name where none is. @throws {OptionError} Naming the keyword that is wrong. */
export function objectNode(schema: Keywords, path: string, inner: Inner): Node {
  const { properties = {}, required = [], additionalProperties = true } = schema;
  if (!isRecord(properties)) {
    throw new OptionError(`${path}.properties`, properties, "an object of schemas");
  }
  if (!Array.isArray(required) || required.some((name) => typeof name !== "string")) {
    throw new OptionError(`${path}.required`, required, "an array of names");
  }
  const [least, most] = counts(schema, path, "Properties");
  const others = (at: string) => {
    if (additionalProperties !== false) {
      return inner(additionalProperties, `${path}.additionalProperties`);
    }
    throw new OptionError(at, required, "names of properties, as others are not allowed");
  };
  const names = new Set([...Object.keys(properties), ...required]);
  if (names.size === 0 && additionalProperties !== false) {
    return { kind: "map", value: others(path), least, most };
  }
  const members = Array.from(names, (name) => ({
    name,
    head: encoder.encode(`${JSON.stringify(name)}:`),
    value: Object.hasOwn(properties, name)
      ? inner(properties[name], `${path}.properties.${name}`)
      : others(`${path}.required`),
    required: required.includes(name),
  }));
  const certain = members.filter(({ required }) => required).length;
  if (least > certain) {
    throw new OptionError(`${path}.minProperties`, least, `at most the ${certain} that are required`);
  }
  if (most < members.length) {
    throw new OptionError(`${path}.maxProperties`, most, `at least the ${members.length} that are named`);
  }
  return { kind: "object", members };
}

/** An array. @throws {OptionError} Naming the keyword that is wrong. */
export function arrayNode(schema: Keywords, path: string, inner: Inner): Node {
  const { items = true, prefixItems = [] } = schema;
  if (!Array.isArray(prefixItems)) {
    throw new OptionError(`${path}.prefixItems`, prefixItems, "an array of schemas");
  }
  const [least, most] = counts(schema, path, "Items");
  const prefix = prefixItems.map((item, i) => inner(item, `${path}.prefixItems[${i}]`));
  const rest = items === false ? null : inner(items, `${path}.items`);
  if (rest === null && least > prefix.length) {
    throw new OptionError(`${path}.minItems`, least, `at most the ${prefix.length} that are allowed`);
  }
  return { kind: "array", prefix, rest, least, most };
}

/** A string. @throws {OptionError} Naming the keyword that is wrong. */
export function stringNode(schema: Keywords, path: string): Node {
  const { format } = schema;
  if (typeof format === "string" && FORMATS.has(format)) {
    throw new OptionError(`${path}.format`, format, "no format: a reply can't be held to one as it comes");
  }
  const [least, most] = counts(schema, path, "Length");
  return { kind: "string", least, most };
}

/** A number, or an integer. @throws {OptionError} Naming the keyword that is wrong. */
export function numberNode(integer: boolean, schema: Keywords, path: string): Node {
  const bound = (keyword: string) => {
    const value = schema[keyword];
    if (value === undefined || Number.isFinite(value)) return value as number | undefined;
    throw new OptionError(`${path}.${keyword}`, value, "a number");
  };
  const bounds = {
    ...{ least: bound("minimum"), above: bound("exclusiveMinimum") },
    ...{ most: bound("maximum"), below: bound("exclusiveMaximum") },
  };
  const given = Object.fromEntries(Object.entries(bounds).filter(([, value]) => value !== undefined));
  const node = { kind: "number", integer, bounds: given } as const;
  if (isWide(node)) return node;
  throw new OptionError(path, given, "bounds with numbers of up to 15 digits between them");
}

function counts(schema: Keywords, path: string, what: string): [number, number] {
  const count = (keyword: string, fallback: number) => {
    const value = schema[keyword] ?? fallback;
    if (value === Infinity || (Number.isInteger(value) && value as number >= 0)) return value as number;
    throw new OptionError(`${path}.${keyword}`, value, "a whole number from 0");
  };
  const [least, most] = [count(`min${what}`, 0), count(`max${what}`, Infinity)];
  if (least <= most) return [least, most];
  throw new OptionError(`${path}.min${what}`, least, `at most max${what}, ${most}`);
}
