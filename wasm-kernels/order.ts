/**
 * The order of functions in a binary and of the locals in each: what gzip finds most in. It's worth 5 % of the compressed
 * bytes, and means nothing to who runs them.
 *
 * @module
 */
import binaryen from "binaryen";

type Module = binaryen.Module;

/** An optimised module's bytes, functions and locals in that order. Takes the module's text apart and together again. */
export function inOrder(module: Module): Uint8Array {
  // A function begins and ends with a line of its own.
  const [head, ...rest] = module.emitText().split(/^(?= \(func )/m);
  const end = rest[rest.length - 1].indexOf("\n )\n") + "\n )\n".length;
  const tail = rest[rest.length - 1].slice(end);
  const functions = rest.map((text, i) => localsInOrder(i === rest.length - 1 ? text.slice(0, end) : text));
  const assembled = (order: Iterable<number>) =>
    assemble(head + Array.from(order, (i) => functions[i]).join("") + tail, module.getFeatures());
  return assembled(likeNextToLike(functionBodies(assembled(functions.keys()))));
}

function assemble(text: string, features: number): Uint8Array {
  const module = binaryen.parseText(text);
  try {
    module.setFeatures(features);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

const TYPES = ["i32", "f32", "i64", "f64", "v128"];

/** Declares a function's locals by their type, those of a type as they are first named: like code names like ones. */
function localsInOrder(text: string): string {
  const declarations = text.match(/^ {2}\(local \S+ \w+\)\n/gm) ?? [];
  const first = new Map<string, number>();
  for (const line of asExecuted(text.split("\n"))) {
    const name = line.match(/local\.(?:get|set|tee) ([^\s)]+)/)?.[1];
    if (name !== undefined && !first.has(name)) first.set(name, first.size);
  }
  const places = declarations.map((declaration) => {
    const [, name, type] = declaration.match(/\(local (\S+) (\w+)\)/)!;
    return { declaration, type: TYPES.indexOf(type), first: first.get(name) ?? Infinity };
  });
  places.sort((a, b) => a.type - b.type || a.first - b.first);
  return text.replace(declarations.join(""), () => places.map((place) => place.declaration).join(""));
}

/** Lines that are indented below what takes their result, each before that one, as in a binary. */
function* asExecuted(lines: readonly string[]): Generator<string> {
  const open: { depth: number; line: string }[] = [];
  for (const line of lines) {
    const depth = line.search(/\S/);
    while (open.length > 0 && open[open.length - 1].depth >= depth) yield open.pop()!.line;
    open.push({ depth, line });
  }
  yield* open.reverse().map(({ line }) => line);
}

/** Bytes that are compared as one. */
const GRAM = 6;
/** Keeps the smallest functions from being like any other. */
const SMALLEST = 20;
/** Bytes of functions that gzip, which looks back 32 KB, still sees when it has read half of the next one. */
const WINDOW = 28_000;

/**
 * Begins with the longest body and goes on with the one that repeats most of the last ones.
 *
 * ```text
 * seen              sequences of 6 bytes in the last bodies, 28,000 bytes of them
 * next              argmax over i not yet taken of (sequences of i that are seen) / sqrt(sequences of i + 20)
 * ```
 */
function likeNextToLike(bodies: readonly Uint8Array[]): number[] {
  const grams = bodies.map((body) => {
    const at = (i: number) => body.subarray(i, i + GRAM).reduce((number, byte) => 256 * number + byte, 0);
    return new Set(Array.from({ length: Math.max(body.length - GRAM + 1, 0) }, (_, i) => at(i)));
  });
  const left = new Set(bodies.keys());
  const order: number[] = [];
  const longest = bodies.reduce((found, body, i) => body.length > bodies[found].length ? i : found, 0);
  for (let next = longest; left.delete(next);) {
    order.push(next);
    const seen = new Set<number>();
    for (let i = order.length - 1, bytes = 0; i >= 0 && bytes < WINDOW; i--) {
      bytes += bodies[order[i]].length;
      for (const gram of grams[order[i]]) seen.add(gram);
    }
    let best = -1;
    for (const i of left) {
      let repeated = 0;
      for (const gram of grams[i]) if (seen.has(gram)) repeated++;
      const likeness = repeated / Math.sqrt(grams[i].size + SMALLEST);
      if (likeness > best) [best, next] = [likeness, i];
    }
  }
  return order;
}

const CODE_SECTION = 10;

/** What a module's functions consist of, in their order; it imports none. */
function functionBodies(wasm: Uint8Array): Uint8Array[] {
  for (let at = 8; at < wasm.length;) {
    const id = wasm[at];
    const [bytes, start] = number(wasm, at + 1);
    at = start + bytes;
    if (id !== CODE_SECTION) continue;
    let [n, next] = number(wasm, start);
    return Array.from({ length: n }, () => {
      const [length, body] = number(wasm, next);
      next = body + length;
      return wasm.subarray(body, next);
    });
  }
  return [];
}

/** Reads a number as WASM writes them, 7 bits a byte, low ones first; returns it and where the next byte is. */
function number(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0;
  for (let shift = 0;; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return [value, at];
  }
}
