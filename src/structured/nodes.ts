/**
 * What a value may be, once a schema has been read: a graph whose nodes may lead back to each other.
 *
 * @module
 */
import { compareBytes } from "./bytes.ts";

/** Members in the order of the schema; those that are not required may be left out, others never come. */
export interface ObjectNode {
  readonly kind: "object";
  readonly members: Member[];
}

/** One member of an object. */
export interface Member {
  /** `"name":` in UTF-8. */
  readonly head: Uint8Array;
  readonly name: string;
  readonly value: Node;
  readonly required: boolean;
}

/** An object whose names are free, each of them once. */
export interface MapNode {
  readonly kind: "map";
  value: Node;
  readonly least: number;
  readonly most: number;
}

/** `prefix` first, then any number of `rest`. */
export interface ArrayNode {
  readonly kind: "array";
  readonly prefix: Node[];
  rest: Node | null;
  readonly least: number;
  readonly most: number;
}

/** Code points from `least` to `most`. */
export interface StringNode {
  readonly kind: "string";
  readonly least: number;
  readonly most: number;
}

/** A number between two bounds. */
export interface NumberNode {
  readonly kind: "number";
  readonly integer: boolean;
  readonly bounds: Bounds;
}

/** `undefined`: no such bound. */
export interface Bounds {
  readonly least?: number;
  readonly above?: number;
  readonly most?: number;
  readonly below?: number;
}

/** One of these texts: JSON in UTF-8, sorted by bytes, each once. */
export interface LiteralsNode {
  readonly kind: "literals";
  readonly texts: readonly Uint8Array[];
}

/** Any of its nodes; none of them is a union again once {@link flatten} has run. */
export interface UnionNode {
  readonly kind: "union";
  nodes: Node[];
}

export type Node = ObjectNode | MapNode | ArrayNode | StringNode | NumberNode | LiteralsNode | UnionNode;

/** Nodes that a value of `node` may consist of. */
function parts(node: Node): readonly Node[] {
  switch (node.kind) {
    case "object":
      return node.members.map(({ value }) => value);
    case "map":
      return [node.value];
    case "array":
      return node.rest === null ? node.prefix : [...node.prefix, node.rest];
    case "union":
      return node.nodes;
    default:
      return [];
  }
}

/** Every node that `root` leads to. */
export function reachable(root: Node): Set<Node> {
  const found = new Set([root]);
  for (const node of found) for (const part of parts(node)) found.add(part);
  return found;
}

/** Puts the nodes of unions within unions into the outer ones, so that each begins with a byte; texts into one node. */
export function flatten(nodes: Iterable<Node>): void {
  for (const union of nodes) {
    if (union.kind !== "union") continue;
    const all = new Set<Node>([union]);
    for (const node of all) if (node.kind === "union") node.nodes.forEach((inner) => all.add(inner));
    const texts = [...all].filter((node) => node.kind === "literals");
    const others = [...all].filter(({ kind }) => kind !== "union" && kind !== "literals");
    union.nodes = texts.length > 1
      ? [...others, literals(texts.flatMap(({ texts }) => texts))]
      : [...others, ...texts];
  }
}

/** A node of texts in any order. */
export function literals(texts: readonly Uint8Array[]): LiteralsNode {
  const sorted = [...texts].sort(compareBytes);
  const each = sorted.filter((text, i) => i === 0 || compareBytes(text, sorted[i - 1]) !== 0);
  return { kind: "literals", texts: each };
}

/** Those of the nodes that no text of finite length is a value of, such as an object that requires itself. */
export function endless(nodes: ReadonlySet<Node>): Node[] {
  const ending = new Set<Node>();
  const ends = (node: Node): boolean => {
    switch (node.kind) {
      case "object":
        return node.members.every(({ required, value }) => !required || ending.has(value));
      case "map":
        return node.least === 0 || ending.has(node.value);
      case "array": {
        const needed = node.prefix.slice(0, node.least);
        const more = node.least > node.prefix.length;
        return needed.every((item) => ending.has(item)) && (!more || ending.has(node.rest!));
      }
      case "union":
        return node.nodes.some((inner) => ending.has(inner));
      default:
        return true;
    }
  };
  for (let before = -1; before < ending.size;) {
    before = ending.size;
    for (const node of nodes) if (!ending.has(node) && ends(node)) ending.add(node);
  }
  return [...nodes].filter((node) => !ending.has(node));
}

/** Whether no text is a value of both: by their first bytes, by constants, or by a member that both require. */
export function disjoint(a: Node, b: Node, withMembers = true): boolean {
  if (a.kind === "union") return a.nodes.every((inner) => disjoint(inner, b, withMembers));
  if (b.kind === "union") return disjoint(b, a, withMembers);
  if (a.kind === "literals" && b.kind === "literals") return apart(a.texts, b.texts);
  if (withMembers && a.kind === "object" && b.kind === "object") {
    return a.members.some(({ name, required, value }) => {
      const other = b.members.find((member) => member.name === name);
      return other !== undefined && required && other.required && disjoint(value, other.value, false);
    });
  }
  const starts = firstBytes(a);
  return ![...firstBytes(b)].some((byte) => starts.has(byte));
}

/** Whether two sorted lists have no text in common. */
function apart(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  for (let i = 0, k = 0; i < a.length && k < b.length;) {
    const order = compareBytes(a[i], b[k]);
    if (order === 0) return false;
    if (order < 0) i++;
    else k++;
  }
  return true;
}

const FIRST_BYTES = { object: "{", map: "{", array: "[", string: '"', number: "-0123456789" } as const;

function firstBytes(node: Exclude<Node, UnionNode>): Set<string> {
  if (node.kind !== "literals") return new Set(FIRST_BYTES[node.kind]);
  return new Set(node.texts.map(([byte]) => String.fromCharCode(byte)));
}
