/**
 * JSON Schema, as far as a reply can be held to it a byte at a time, to a graph of nodes.
 *
 * What a node lets through is what the schema accepts, or less: members come in the schema's order, those that it does
 * not name don't come at all, numbers keep to digits that a double can hold. So a complete text always validates. What
 * can't be held to is refused rather than passed over.
 *
 * @see https://json-schema.org/draft/2020-12/json-schema-validation
 * @module
 */
import { OptionError } from "../error.ts";
import {
  disjoint,
  endless,
  flatten,
  literals,
  type LiteralsNode,
  type Node,
  reachable,
  type UnionNode,
} from "./nodes.ts";
import {
  arrayNode,
  isRecord,
  KEYWORDS,
  type Keywords,
  numberNode,
  objectNode,
  stringNode,
} from "./schema_types.ts";

/** A schema: `true` for any value, or an object of keywords. */
export type JsonSchema = boolean | object;

/** Schemas within schemas, so that reading them has an end. */
const MOST_DEPTH = 64;

/** Schemas in one, and schemas of which exactly one may hold: what takes time by their square. */
const MOST_SCHEMAS = 5000;
const MOST_EXCLUSIVE = 64;

const ANNOTATIONS = new Set([
  ...["title", "description", "$schema", "$id", "$comment", "$defs", "definitions", "default", "examples"],
  ...["deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "discriminator"],
]);

/** Keywords that stand alone but for annotations. */
const ALONE = ["$ref", "anyOf", "oneOf", "allOf", "enum", "const"];

const TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"];
const encoder = new TextEncoder();

/**
 * Reads a schema.
 *
 * @param name What the schema is called in errors.
 * @throws {OptionError} Naming the place in the schema: a keyword that is not supported or wrong, or a part that no
 *   value can ever fulfil.
 */
export function readSchema(schema: unknown, name: string): Node {
  return new Reader(schema, name).read();
}

class Reader {
  readonly #root: unknown;
  readonly #name: string;
  readonly #nodes = new Map<unknown, UnionNode>();
  readonly #paths = new Map<Node, string>();
  readonly #exclusive: { readonly nodes: readonly Node[]; readonly path: string }[] = [];
  #any: Node | undefined;

  constructor(root: unknown, name: string) {
    this.#root = root;
    this.#name = name;
  }

  read(): Node {
    const root = this.#schema(this.#root, this.#name, 0);
    const all = reachable(root);
    flatten(all);
    const [lost] = endless(all);
    if (lost !== undefined) {
      throw new OptionError(
        this.#paths.get(lost) ?? this.#name,
        "without end",
        "a schema that a value can fulfil",
      );
    }
    for (const { nodes, path } of this.#exclusive) {
      if (nodes.some((a, i) => nodes.slice(0, i).some((b) => !disjoint(a, b)))) {
        throw new OptionError(
          path,
          "schemas that may hold at once",
          "schemas apart by type or by a constant, or anyOf",
        );
      }
    }
    return root;
  }

  /** The node of a schema; one that is met again, as in a recursion, has it already. */
  #schema(schema: unknown, path: string, depth: number): Node {
    if (schema === true) return this.#anything();
    if (!isRecord(schema)) throw new OptionError(path, schema, "true or an object of keywords");
    if (depth > MOST_DEPTH) {
      throw new OptionError(path, "deeper still", `at most ${MOST_DEPTH} schemas in each other`);
    }
    const known = this.#nodes.get(schema);
    if (known !== undefined) return known;
    if (this.#nodes.size >= MOST_SCHEMAS) {
      throw new OptionError(path, "one more schema", `at most ${MOST_SCHEMAS} in all`);
    }
    const node: UnionNode = { kind: "union", nodes: [] };
    this.#nodes.set(schema, node);
    this.#paths.set(node, path);
    node.nodes = this.#alternatives(schema, path, depth);
    return node;
  }

  #alternatives(schema: Keywords, path: string, depth: number): Node[] {
    this.#refuseUnknown(schema, path);
    const alone = ALONE.find((keyword) => schema[keyword] !== undefined);
    if (alone === undefined) {
      return this.#types(schema, path).map((type) => this.#ofType(type, schema, path, depth));
    }
    const beside = Object.keys(schema).find((key) =>
      key !== alone && !ANNOTATIONS.has(key) && !key.startsWith("x-") &&
      !(key === "type" && /enum|const/.test(alone))
    );
    if (beside !== undefined) {
      throw new OptionError(`${path}.${beside}`, schema[beside], `nothing beside ${alone}`);
    }
    return this.#alone(alone, schema, path, depth);
  }

  #alone(keyword: string, schema: Keywords, path: string, depth: number): Node[] {
    const value = schema[keyword];
    const at = `${path}.${keyword}`;
    if (keyword === "$ref") return [this.#schema(this.#resolve(value, at), at, depth + 1)];
    if (keyword === "const") return [this.#literals([value], schema, path, at)];
    if (!Array.isArray(value) || value.length === 0) {
      throw new OptionError(at, value, "an array that isn't empty");
    }
    if (keyword === "enum") return [this.#literals(value, schema, path, at)];
    if (keyword === "oneOf" && value.length > MOST_EXCLUSIVE) {
      throw new OptionError(at, `${value.length} schemas`, `at most ${MOST_EXCLUSIVE}, or anyOf`);
    }
    if (keyword === "allOf" && value.length > 1) throw new OptionError(at, value, "one schema");
    const nodes = value.map((inner, i) => this.#schema(inner, `${at}[${i}]`, depth + 1));
    if (keyword === "oneOf") this.#exclusive.push({ nodes, path: at });
    return nodes;
  }

  #refuseUnknown(schema: Keywords, path: string): void {
    const known = new Set<string>([...ANNOTATIONS, ...Object.values(KEYWORDS).flat(), ...ALONE, "type"]);
    for (const key of Object.keys(schema)) {
      if (known.has(key) || key.startsWith("x-") || schema[key] === undefined) continue;
      // means nothing where it asks for nothing
      if (key === "uniqueItems" && schema[key] === false) continue;
      throw new OptionError(
        `${path}.${key}`,
        schema[key],
        "a keyword that a reply can be held to as it comes",
      );
    }
  }

  /** The types of a value: those that are named, else those that the keywords are about, else any. */
  #types(schema: Keywords, path: string): string[] {
    const { type } = schema;
    if (type !== undefined) {
      const types: unknown[] = Array.isArray(type) ? type : [type];
      if (types.length > 0 && types.every((type) => TYPES.includes(type as string))) return types as string[];
      throw new OptionError(`${path}.type`, type, `one or more of ${TYPES.join(", ")}`);
    }
    const meant = Object.entries(KEYWORDS).filter(([, keys]) =>
      keys.some((key) => schema[key] !== undefined)
    );
    return meant.length > 0 ? meant.map(([type]) => type) : ["any"];
  }

  #ofType(type: string, schema: Keywords, path: string, depth: number): Node {
    const node = this.#plain(type, schema, path, depth);
    this.#paths.set(node, path);
    return node;
  }

  #plain(type: string, schema: Keywords, path: string, depth: number): Node {
    const inner = (schema: unknown, path: string) => this.#schema(schema, path, depth + 1);
    switch (type) {
      case "object":
        return objectNode(schema, path, inner);
      case "array":
        return arrayNode(schema, path, inner);
      case "string":
        return stringNode(schema, path);
      case "null":
        return constants([null]);
      case "boolean":
        return constants([true, false]);
      case "any":
        return this.#anything();
      default:
        return numberNode(type === "integer", schema, path);
    }
  }

  #literals(values: readonly unknown[], schema: Keywords, path: string, at: string): Node {
    const types = schema.type === undefined ? TYPES : this.#types(schema, path);
    const node = constants(values.filter((value) => types.some((type) => isOfType(value, type))));
    if (node.texts.length === 0) throw new OptionError(at, values, `values of type ${types.join(", ")}`);
    this.#paths.set(node, at);
    return node;
  }

  /** Any value, with any within. */
  #anything(): Node {
    if (this.#any !== undefined) return this.#any;
    const any: UnionNode = { kind: "union", nodes: [] };
    any.nodes = [
      { kind: "map", value: any, least: 0, most: Infinity },
      { kind: "array", prefix: [], rest: any, least: 0, most: Infinity },
      { kind: "string", least: 0, most: Infinity },
      { kind: "number", integer: false, bounds: {} },
      constants([true, false, null]),
    ];
    return this.#any = any;
  }

  /** @see RFC 6901 */
  #resolve(reference: unknown, at: string): unknown {
    const wrong = () => new OptionError(at, reference, 'a place in this schema, such as "#/$defs/name"');
    if (typeof reference !== "string" || !/^#(\/|$)/.test(reference)) throw wrong();
    let found: unknown = this.#root;
    for (const step of reference.split("/").slice(1)) {
      const key = decodeStep(step).replaceAll("~1", "/").replaceAll("~0", "~");
      if ((!isRecord(found) && !Array.isArray(found)) || !Object.hasOwn(found, key)) throw wrong();
      found = (found as Keywords)[key];
    }
    return found;
  }
}

function decodeStep(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

const constants = (values: readonly unknown[]): LiteralsNode =>
  literals(values.map((value) => encoder.encode(JSON.stringify(value))));

function isOfType(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return isRecord(value);
  if (type === "number") return Number.isFinite(value);
  return type === "string" ? typeof value === "string" : typeof value === "boolean";
}
