/**
 * The one property of a snapshot: what is restored goes on as if it had never stopped.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { LoadModelOptions } from "../../src/runtime/load_model.ts";
import type { Sequence } from "../../src/model/sequence.ts";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";

/** The most likely tokens one after the other. */
export function greedy(sequence: Sequence, n: number): number[] {
  return Array.from({ length: n }, () => {
    const id = sequence.row.argmax();
    sequence.decode(id);
    return id;
  });
}

/** Bytes alike, without a picture of megabytes when they are not. */
export function assertSameBytes(found: Uint8Array, wanted: Uint8Array): void {
  assertEquals(found.length, wanted.length);
  assert(found.every((byte, i) => byte === wanted[i]), "the bytes differ");
}

/** Saves in the middle of a reply, restores in another sequence, and lets both go on: steps, a prompt, steps again. */
export async function checkGoingOn(options: LoadModelOptions): Promise<void> {
  const model = await loadBundled({ context: 512, chunk: 32, ...options, sequences: 2 });
  const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 139);
  const [one, other] = [model.sequence(), model.sequence()];
  // What another text has left behind has no say.
  await other.prefill(ids.slice(50, 90));
  await one.prefill(ids);
  greedy(one, 11);
  other.restore(one.save());
  const same = () => {
    assertEquals(other.position, one.position);
    assertEquals(other.cacheContents(), one.cacheContents());
    assertEquals(other.logits(), one.logits());
  };
  same();
  assertEquals(greedy(other, 14), greedy(one, 14));
  await one.prefill(ids.slice(0, 40));
  await other.prefill(ids.slice(0, 40));
  same();
  assertEquals(greedy(other, 4), greedy(one, 4));
  assertEquals(model.brokenGuards(), []);
  model.dispose();
}
