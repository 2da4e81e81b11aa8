/**
 * What a model must be, for who reads it from elsewhere.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Expected } from "./checked_file.ts";
import type { UrlOptions } from "./url_file.ts";

/** How the bytes of a model are had, and what they must be. */
export interface SourceOptions extends UrlOptions {
  /** Bytes that the file must have; for a split model one number a file. */
  size?: number | readonly number[];
  /** SHA-256 in hexadecimal that the file must have; for a split model one a file. */
  sha256?: string | readonly string[];
}

/** What file `index` (from 0) must be. @throws {OptionError} When a digest is no SHA-256. */
export function expectedFiles(options: SourceOptions): (index: number) => Expected {
  const sizes = list(options.size);
  const digests = list(options.sha256);
  for (const digest of digests) {
    if (!/^[0-9a-f]{64}$/i.test(digest)) throw new OptionError("sha256", digest, "64 hexadecimal digits");
  }
  return (index) => ({ size: sizes[index], sha256: digests[index] });
}

function list<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}
