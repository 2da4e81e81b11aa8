/**
 * The items that JSON is made of: {@link Value} opens into what its node says.
 *
 * @module
 */
import type { ArrayNode, MapNode, Node, NumberNode, ObjectNode } from "./nodes.ts";
import { isBeginning, isNumber } from "./number.ts";
import { type Item, push, type Stack } from "./stack.ts";
import { Characters } from "./string.ts";

const byteOf = (character: string) => character.charCodeAt(0);
const [SPACE, TAB, LINE, QUOTE, COMMA] = [" ", "\t", "\n", '"', ","].map(byteOf);
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = ["{", "}", "[", "]"].map(byteOf);

/** White space after the start of a line. */
const MOST_INDENT = 24;

/** White space, as far as anybody writes it: none, one space, or a new line with its indent. */
class Gap implements Item {
  readonly empty = true;

  /** @param indent White space that may follow; -1 before there was any. */
  constructor(readonly indent: number) {}

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    if (this.indent < 0 && byte === SPACE) out.push(rest!);
    else if (this.indent < 0 && byte === LINE) out.push(push(INDENTS[0], rest));
    else if (this.indent > 0 && (byte === SPACE || byte === TAB)) {
      out.push(push(INDENTS[MOST_INDENT - this.indent + 1], rest));
    } else rest!.item.step(byte, rest!, out);
  }
}

const GAP = new Gap(-1);
const INDENTS = Array.from({ length: MOST_INDENT + 1 }, (_, i) => new Gap(MOST_INDENT - i));

/** A text as it is. */
export class Text implements Item {
  readonly empty: boolean;

  /** @param at Bytes that have come. */
  constructor(readonly bytes: Uint8Array, readonly at = 0) {
    this.empty = at === bytes.length;
  }

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    if (this.empty) rest!.item.step(byte, rest!, out);
    else if (byte === this.bytes[this.at]) {
      const last = this.at + 1 === this.bytes.length;
      out.push(last ? rest! : push(new Text(this.bytes, this.at + 1), rest));
    }
  }
}

/** One of the texts `from` to `to`, which agree in the `at` bytes that have come. */
class Literals implements Item {
  readonly empty = false;

  constructor(
    readonly texts: readonly Uint8Array[],
    readonly from: number,
    readonly to: number,
    readonly at: number,
  ) {}

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    const from = this.#first(byte);
    const to = this.#first(byte + 1);
    if (from === to) return;
    const done = this.texts[from].length === this.at + 1;
    if (done) out.push(rest!);
    if (to - from > (done ? 1 : 0)) {
      out.push(push(new Literals(this.texts, done ? from + 1 : from, to, this.at + 1), rest));
    }
  }

  /** Index of the first text whose next byte is at least `byte`. */
  #first(byte: number): number {
    let [low, high] = [this.from, this.to];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.texts[middle][this.at] < byte) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A number of which `text` has come. */
class Digits implements Item {
  readonly empty: boolean;

  constructor(readonly node: NumberNode, readonly text: string) {
    this.empty = isNumber(node, text);
  }

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    const text = this.text + String.fromCharCode(byte);
    if (isBeginning(this.node, text)) out.push(push(new Digits(this.node, text), rest));
    else if (this.empty) rest!.item.step(byte, rest!, out);
  }
}

/** A value from its first byte on. */
export class Value implements Item {
  readonly empty = false;

  constructor(readonly node: Node) {}

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    begin(this.node, byte, rest, out);
  }
}

function begin(node: Node, byte: number, rest: Stack | null, out: Stack[]): void {
  switch (node.kind) {
    case "union":
      for (const inner of node.nodes) begin(inner, byte, rest, out);
      break;
    case "object":
      if (byte === OPEN_OBJECT) out.push(push(GAP, push(new Members(node, 0, "opened"), rest)));
      break;
    case "map":
      if (byte === OPEN_OBJECT) out.push(push(GAP, push(new Entries(node, [], "opened"), rest)));
      break;
    case "array":
      if (byte === OPEN_ARRAY) out.push(push(GAP, push(new Elements(node, 0, "opened"), rest)));
      break;
    case "string":
      if (byte === QUOTE) out.push(push(Characters.of(node.least, node.most), rest));
      break;
    case "number":
      stepInto(new Digits(node, ""), byte, rest, out);
      break;
    case "literals":
      stepInto(new Literals(node.texts, 0, node.texts.length, 0), byte, rest, out);
  }
}

const stepInto = (item: Item, byte: number, rest: Stack | null, out: Stack[]) =>
  item.step(byte, push(item, rest), out);

/** What has come last within braces or brackets. */
type After = "opened" | "value" | "comma";

/** The inside of an object from member `index` on. */
class Members implements Item {
  readonly empty = false;

  constructor(readonly node: ObjectNode, readonly index: number, readonly after: After) {}

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    const { node: { members }, index, after } = this;
    if (byte === QUOTE && after !== "value") {
      for (let i = index; i < members.length; i++) {
        const { head, value, required } = members[i];
        const next = push(GAP, push(new Members(this.node, i + 1, "value"), rest));
        out.push(push(new Text(head, 1), push(GAP, push(new Value(value), next))));
        if (required) break;
      }
    } else if (byte === COMMA && after === "value") {
      if (index < members.length) out.push(push(GAP, push(new Members(this.node, index, "comma"), rest)));
    } else if (byte === CLOSE_OBJECT && after !== "comma") {
      if (!members.slice(index).some(({ required }) => required)) out.push(rest!);
    }
  }
}

const COLON = new TextEncoder().encode(":");

/** The inside of an object with free names, of which `names` have come. */
class Entries implements Item {
  readonly empty = false;

  constructor(readonly node: MapNode, readonly names: readonly string[], readonly after: After) {}

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    const { node, names, after } = this;
    if (byte === QUOTE && after !== "value" && names.length < node.most) {
      const then = (name: string) => {
        const next = push(GAP, push(new Entries(node, [...names, name], "value"), rest));
        return push(new Text(COLON), push(GAP, push(new Value(node.value), next)));
      };
      out.push(push(Characters.name(names, then), null));
    } else if (byte === COMMA && after === "value") {
      if (names.length < node.most) out.push(push(GAP, push(new Entries(node, names, "comma"), rest)));
    } else if (byte === CLOSE_OBJECT && after !== "comma" && names.length >= node.least) out.push(rest!);
  }
}

/** The inside of an array of which `count` elements have come. */
class Elements implements Item {
  readonly empty = false;

  constructor(readonly node: ArrayNode, readonly count: number, readonly after: After) {}

  step(byte: number, { rest }: Stack, out: Stack[]): void {
    const { node, count, after } = this;
    const next = count < node.most ? node.prefix[count] ?? node.rest : null;
    if (byte === COMMA && after === "value") {
      if (next !== null) out.push(push(GAP, push(new Elements(node, count, "comma"), rest)));
    } else if (byte === CLOSE_ARRAY && after !== "comma") {
      if (count >= node.least) out.push(rest!);
    } else if (next !== null && after !== "value") {
      begin(next, byte, push(GAP, push(new Elements(node, count + 1, "value"), rest)), out);
    }
  }
}

/** A value with white space in front of it, as models begin. */
export const document = (node: Node, rest: Stack): Stack => push(GAP, push(new Value(node), rest));
