/**
 * Numbers a character at a time: which beginnings can still become a number within bounds.
 *
 * A beginning such as `12.3` stands for all texts that go on from it. Those with the same count of digits before the
 * point form one stretch of numbers, from the beginning itself to the beginning filled up with nines, so a beginning
 * is good when one of its stretches meets the bounds.
 *
 * @module
 */
import type { Bounds, NumberNode } from "./nodes.ts";

/** Digits before the point: what a double holds exactly. */
const WHOLE_DIGITS = 15;
const FRACTION_DIGITS = 15;
const EXPONENT_DIGITS = 2;

const INTEGER = /^-?(?:0|[1-9]\d*)?$/;
const DECIMAL = /^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?)?$/;
const SCIENTIFIC = /^-?(?:(?:0|[1-9]\d*)(?:(?:\.\d*)|(?:\.\d+)?[eE][+-]?\d*)?)?$/;
const WHOLE = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** Whether the characters so far can become a number of `node`. */
export function isBeginning(node: NumberNode, text: string): boolean {
  const bounded = Object.keys(node.bounds).length > 0;
  const shape = node.integer ? INTEGER : bounded ? DECIMAL : SCIENTIFIC;
  if (!shape.test(text) || (node.integer && text === "-0")) return false;
  const [mantissa, exponent] = text.toLowerCase().split("e");
  const [whole, fraction] = mantissa.replace("-", "").split(".");
  if (whole.length > WHOLE_DIGITS || (fraction?.length ?? 0) > FRACTION_DIGITS) return false;
  if ((exponent?.replace(/[+-]/, "").length ?? 0) > EXPONENT_DIGITS) return false;
  return !bounded || reaches(node, text, whole, fraction);
}

/** Whether the characters so far are a number of `node`. */
export function isNumber(node: NumberNode, text: string): boolean {
  return WHOLE.test(text) && above(node.bounds, Number(text)) && below(node.bounds, Number(text));
}

/** Whether there are numbers of `node`, and not so few that they'd have to be searched for. */
export function isWide({ integer, bounds }: NumberNode): boolean {
  const { least = -Infinity, above: over = -Infinity, most = Infinity, below: under = Infinity } = bounds;
  const largest = 10 ** WHOLE_DIGITS - 1;
  const first = Math.max(Math.ceil(least), Math.floor(over) + 1, -largest);
  const last = Math.min(Math.floor(most), Math.ceil(under) - 1, largest);
  if (first <= last) return true;
  const [low, high] = [Math.max(least, over), Math.min(most, under)];
  return !integer && high - low >= 1e-9 * Math.max(1e-3, Math.abs(low), Math.abs(high)) &&
    Math.abs(low) <= 1e6;
}

function reaches({ integer, bounds }: NumberNode, text: string, whole: string, fraction?: string): boolean {
  const sign = text.startsWith("-") ? "-" : "";
  const open = fraction === undefined && whole !== "0";
  const longest = open ? WHOLE_DIGITS - whole.length : 0;
  for (let more = 0; more <= longest; more++) {
    if (whole === "" && more === 0) continue;
    const tail = integer ? "" : `.${(fraction ?? "").padEnd(FRACTION_DIGITS, "9")}`;
    // an integer's minus sign is followed by something else than a zero
    const least = whole === "" && integer ? "1" : whole;
    const near = Number(sign + least.padEnd(whole.length + more, "0") + (fraction ? `.${fraction}` : ""));
    const far = Number(sign + whole.padEnd(whole.length + more, "9") + tail);
    if (above(bounds, Math.max(near, far)) && below(bounds, Math.min(near, far))) return true;
  }
  return false;
}

const above = ({ least = -Infinity, above = -Infinity }: Bounds, x: number) =>
  x >= least && (x > above || above === -Infinity);
const below = ({ most = Infinity, below = Infinity }: Bounds, x: number) =>
  x <= most && (x < below || below === Infinity);
