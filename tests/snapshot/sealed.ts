/**
 * Snapshots taken apart and sealed anew with a digest that is right, whatever they say.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2";

/** A snapshot without its digest. */
export interface Opened {
  // deno-lint-ignore no-explicit-any
  readonly head: any;
  readonly sections: Uint8Array;
}

const PREFIX = 16;

export function openSealed(snapshot: Uint8Array): Opened {
  const view = new DataView(snapshot.buffer, snapshot.byteOffset);
  const end = PREFIX + view.getUint32(12, true);
  return {
    head: JSON.parse(new TextDecoder().decode(snapshot.subarray(PREFIX, end))),
    sections: snapshot.slice(end, -32),
  };
}

/** @param headBytes What it says of its head's size. */
export function seal({ head, sections }: Opened, headBytes?: number): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(typeof head === "string" ? head : JSON.stringify(head));
  const bytes = new Uint8Array(PREFIX + json.length + sections.length + 32);
  bytes.set(new TextEncoder().encode("LocketKV"));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, 1, true);
  view.setUint32(12, headBytes ?? json.length, true);
  bytes.set(json, PREFIX);
  bytes.set(sections, PREFIX + json.length);
  bytes.set(sha256(bytes.subarray(0, -32)), bytes.length - 32);
  return bytes;
}

/** Where a section lies among the sections. */
export function sectionOf({ head, sections }: Opened, name: string): Uint8Array {
  let at = 0;
  for (const [found, bytes] of head.sections as [string, number][]) {
    if (found === name) return sections.subarray(at, at + bytes);
    at += bytes;
  }
  throw new Error(`no section ${name}`);
}
