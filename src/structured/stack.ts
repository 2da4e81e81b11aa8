/**
 * What may come next, as stacks of items, the topmost first; an item that takes a byte says what stands in its place
 * afterwards. Where a schema leaves a choice, there are several stacks side by side:
 *
 *     after `{"size":`    Value(number) · Gap · Members(1) · End        and        Value(null) · Gap · Members(1) · End
 *
 * Every stack can be completed, whatever has been chosen so far: no choice leads into a blind alley. Stacks are never
 * changed, so that a million beginnings can be tried from one.
 *
 * @module
 */

/** One thing to come. */
export interface Item {
  /** Takes a byte if it can: adds what is to come then to `out`. `at` is the stack that it is the top of. */
  step(byte: number, at: Stack, out: Stack[]): void;
  /** Whether nothing needs to come of it any more. */
  readonly empty: boolean;
  /** How many characters may come as they are, whatever they are, as in a string; none where it is not there. */
  readonly room?: number;
}

/** Things to come, in their order. */
export interface Stack {
  readonly item: Item;
  readonly rest: Stack | null;
}

/** Stacks kept side by side. Each of them alone can be completed, so more may be let go of. */
const MOST_STACKS = 256;

/** What is to come after `byte`; empty when the byte must not come. */
export function step(stacks: readonly Stack[], byte: number): Stack[] {
  const out: Stack[] = [];
  for (const stack of stacks) stack.item.step(byte, stack, out);
  return out.length > MOST_STACKS ? out.slice(0, MOST_STACKS) : out;
}

/** Whether nothing more needs to come. */
export function accepts(stack: Stack): boolean {
  for (let at: Stack | null = stack; at !== null; at = at.rest) if (!at.item.empty) return false;
  return true;
}

/** Nothing may come any more. */
export const END: Stack = { item: { step: () => {}, empty: true }, rest: null };

/** `item`, and then `rest`. */
export const push = (item: Item, rest: Stack | null): Stack => ({ item, rest });
