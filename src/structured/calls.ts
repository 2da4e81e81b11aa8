/**
 * Calls of functions within a reply: the function is one of those that there are, its arguments are what its schema
 * accepts.
 *
 *     {before} {"name": "weather", "arguments": {"city": "Oslo"}} {behind}     and, where several may come, again
 *
 * @module
 */
import type { Constraint } from "../sample/constraint.ts";
import type { Tokenizer } from "../tokenizer/mod.ts";
import { document, Text } from "./items.ts";
import { literals, type Member, type Node } from "./nodes.ts";
import { readSchema } from "./schema.ts";
import { END, type Item, push, type Stack, step } from "./stack.ts";
import { TokenConstraint } from "./token_constraint.ts";

/** A function that may be called. */
export interface CallableFunction {
  readonly name: string;
  /** Schema of its arguments, an object. */
  readonly parameters: unknown;
  /** What the schema is called in errors. */
  readonly path: string;
}

/** How a call is written. */
export interface CallSyntax {
  /** Around the JSON object of a call; both empty where a call is that object alone. */
  readonly before: string;
  readonly behind: string;
  /** The member that holds the arguments, beside `name`. */
  readonly argumentsKey: string;
}

/** Calls in a row, beyond which a reply has to end. */
const MOST_CALLS = 16;

const encoder = new TextEncoder();

/** What calls look like, from the first to the last. */
export class CallGrammar {
  readonly syntax: CallSyntax;
  readonly #call: Node;
  readonly #several: boolean;

  /**
   * @param several Whether more than one call may come.
   * @throws {OptionError} Naming the place in a function's schema that is wrong or not supported.
   */
  constructor(functions: readonly CallableFunction[], syntax: CallSyntax, several: boolean) {
    this.syntax = syntax;
    this.#several = several && syntax.before !== "";
    this.#call = {
      kind: "union",
      nodes: functions.map(({ name, parameters, path }) => ({
        kind: "object",
        members: [
          member("name", literals([encoder.encode(JSON.stringify(name))])),
          member(syntax.argumentsKey, readSchema(parameters, path)),
        ],
      })),
    };
  }

  /** One call and what may follow it. @param opened What stands before a call has come already. */
  calls(opened: boolean, left = MOST_CALLS): Stack {
    const { before, behind } = this.syntax;
    const more = this.#several && left > 1 ? push(new Again(() => this.#next(left - 1)), END) : END;
    const call = document(
      this.#call,
      behind === "" ? more : push(LINE_END, push(new Text(encoder.encode(behind)), more)),
    );
    return opened || before === "" ? call : push(new Text(encoder.encode(before)), call);
  }

  #next(left: number): Stack {
    return push(new Text(encoder.encode("\n")), this.calls(false, left));
  }
}

const member = (name: string, value: Node): Member => ({
  name,
  head: encoder.encode(`${JSON.stringify(name)}:`),
  value,
  required: true,
});

/** A new line that may be left out. */
const LINE_END: Item = {
  empty: true,
  step(byte, { rest }, out) {
    if (byte === 0x0a) out.push(rest!);
    else rest!.item.step(byte, rest!, out);
  },
};

/** Something that may come again, or not. */
class Again implements Item {
  readonly empty = true;

  constructor(readonly again: () => Stack) {}

  step(byte: number, _at: Stack, out: Stack[]): void {
    const next = this.again();
    next.item.step(byte, next, out);
  }
}

/** Leaves a reply free until it begins a call by what stands before one; then that call is held to its grammar. */
export class FreeUntilCall implements Constraint {
  readonly #tokenizer: Tokenizer;
  readonly #grammar: CallGrammar;
  readonly #before: Uint8Array;
  /** The end of the text, as long as what stands before a call may have begun in it. */
  #tail: number[] = [];
  #inner: TokenConstraint | undefined;

  /** @param grammar Of calls that something stands before. */
  constructor(tokenizer: Tokenizer, grammar: CallGrammar) {
    this.#tokenizer = tokenizer;
    this.#grammar = grammar;
    this.#before = encoder.encode(grammar.syntax.before.trimEnd());
  }

  get complete(): boolean {
    return this.#inner?.complete ?? false;
  }

  fill(mask: Uint32Array): boolean {
    return this.#inner?.fill(mask) ?? false;
  }

  accept(id: number): void {
    if (this.#inner !== undefined) return this.#inner.accept(id);
    if (this.#tokenizer.isControl(id)) return;
    const bytes = [...this.#tail, ...this.#tokenizer.tokenBytes(id)];
    const end = endOf(bytes, this.#before);
    this.#tail = bytes.slice(Math.max(0, bytes.length - this.#before.length + 1));
    if (end === undefined) return;
    // what the token brings beyond must be the beginning of a call, else it was none
    const begun = bytes.slice(end).reduce<readonly Stack[]>(step, [this.#grammar.calls(true)]);
    if (begun.length > 0) this.#inner = new TokenConstraint(this.#tokenizer, begun);
  }
}

/** Where the first place of `part` in `bytes` ends. */
function endOf(bytes: readonly number[], part: Uint8Array): number | undefined {
  for (let start = 0; start + part.length <= bytes.length; start++) {
    if (part.every((byte, i) => bytes[start + i] === byte)) return start + part.length;
  }
}
