/**
 * Sizes as people write and read them.
 *
 * @module
 */
import { BYTE_UNITS } from "../byte_units.ts";

/**
 * Bytes of a size such as `128MB` (10^6 each), `1GiB` (2^30 each), `64 KiB` or `1000`; `undefined` if it is none.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseBytes } from "./units.ts";
 *
 * assertEquals(parseBytes("1.5KiB"), 1536);
 * ```
 */
export function parseBytes(text: string): number | undefined {
  const parts = /^(\d+(?:\.\d+)?)\s*([kmg]?i?b)?$/i.exec(text.trim());
  const unit = parts && BYTE_UNITS[(parts[2] ?? "b").toLowerCase()];
  return parts && unit ? Math.floor(Number(parts[1]) * unit) : undefined;
}

/** A size with three digits: `75.7 MB`. */
export function formatBytes(bytes: number): string {
  for (const [name, unit] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]] as const) {
    if (bytes >= 0.9995 * unit) return `${digits(bytes / unit)} ${name}`;
  }
  return `${bytes} B`;
}

/** A number with about three digits, for people. */
export function digits(x: number): string {
  return x >= 100 ? Math.round(x).toLocaleString("en") : x.toFixed(x >= 9.995 ? 1 : 2);
}
