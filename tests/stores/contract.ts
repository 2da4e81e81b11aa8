/**
 * What every session store has to do, whatever it keeps snapshots in.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { SessionStore } from "../../src/stores/store.ts";

/** A store as a test sees it, here or in another process. */
export interface TestedStore {
  /** @param dieAt Byte after which the snapshot can't be read any more. */
  put(id: string, bytes: Uint8Array<ArrayBuffer>, dieAt?: number): Promise<void>;
  get(id: string): Promise<Uint8Array | undefined>;
  delete(id: string): Promise<void>;
}

/** A snapshot's worth of bytes, another one for each seed. */
export function bytesOf(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state = Math.imul(state, 48271) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** A store of this process. */
export function tested(store: SessionStore): TestedStore {
  return {
    put: (id, bytes, dieAt) => store.save(id, (maxBytes) => cut(bytes, maxBytes, dieAt)),
    async get(id) {
      const chunks = await store.load(id);
      return chunks === undefined ? undefined : await joined(chunks);
    },
    delete: (id) => store.delete(id),
  };
}

/** Chunks of at most `maxBytes`, failing after `dieAt`. */
export async function* cut(bytes: Uint8Array<ArrayBuffer>, maxBytes: number, dieAt = Infinity) {
  for (let at = 0; at < bytes.length; at += maxBytes) {
    // a snapshot's reader waits, too
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (at + maxBytes > dieAt) throw new Error("the sequence is gone");
    yield bytes.slice(at, at + maxBytes);
  }
}

export async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of chunks) parts.push(chunk.slice());
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Bytes alike, without a picture of millions of them when they are not. */
export function assertSame(found: Uint8Array | undefined, wanted: Uint8Array): void {
  assertEquals(found?.length, wanted.length);
  assert(found!.every((byte, i) => byte === wanted[i]), "other bytes came back");
}

/** Holds a store to the contract. */
export async function checkContract(store: TestedStore): Promise<void> {
  assertEquals(await store.get("new"), undefined);
  await store.delete("new");
  for (const [i, length] of [1, 70_000, 1_900_000, 5_500_000, 3].entries()) {
    const bytes = bytesOf(length, i);
    await store.put("one", bytes);
    assertSame(await store.get("one"), bytes);
  }
  const last = bytesOf(2_400_000, 9);
  await store.put("one", last);
  await store.put("two", bytesOf(100, 3));
  for (const dieAt of [0, 100_000, 2_000_000]) {
    await assertRejects(() => store.put("one", bytesOf(2_500_000, 4), dieAt));
    assertSame(await store.get("one"), last);
  }
  await Promise.all([store.put("one", bytesOf(800_000, 5)), store.put("one", bytesOf(800_000, 6))]);
  const found = (await store.get("one"))!;
  const [five, six] = [bytesOf(800_000, 5), bytesOf(800_000, 6)];
  assertSame(found, found.every((byte, i) => byte === five[i]) ? five : six);
  assertSame(await store.get("two"), bytesOf(100, 3));
  await store.delete("one");
  assertEquals(await store.get("one"), undefined);
  await store.put("one", last);
  assertSame(await store.get("one"), last);
  for (const id of ["", "a/b", "..%2f", "x".repeat(129), "ä"]) {
    await assertRejects(() => store.put(id, last));
    await assertRejects(() => store.get(id));
  }
}
