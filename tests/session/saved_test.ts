import { assert, assertEquals, assertRejects } from "@std/assert";
import { OptionError, SnapshotError } from "../../src/error.ts";
import { Session } from "../../src/session/session.ts";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { assertSameBytes } from "../snapshot/going_on.ts";

const OPTIONS = { maxTokens: 6, ignoreEos: true };

async function* chunksOf(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

Deno.test("a session goes on in another one, saved whole or in chunks of any size", async () => {
  for (const rules of [{}, { policy: "h2o", budget: 40, chunk: 16 }]) {
    const model = await loadBundled({ context: 256, sequences: 2, ...rules });
    const [one, other] = [new Session(model.sequence()), new Session(model.sequence())];
    const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 90);
    await (await one.generate(ids, OPTIONS)).result();
    one.note = "Grüße";
    const snapshot = await one.save();
    for (const size of [61, 4096, snapshot.length, 2 * snapshot.length]) {
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      for await (const chunk of one.saveChunks(size)) chunks.push(chunk.slice());
      assert(chunks.every(({ length }, i) => i === chunks.length - 1 ? length <= size : length === size));
      assertSameBytes(new Uint8Array(await new Blob(chunks).arrayBuffer()), snapshot);
      await other.restoreFrom(chunksOf(snapshot, size));
      assertEquals([other.tokens, other.note], [one.tokens, "Grüße"]);
    }
    const more = [...one.tokens, ...ids.slice(0, 11)];
    const wanted = await (await one.generate(more, OPTIONS)).result();
    const found = await (await other.generate(more, OPTIONS)).result();
    assertEquals([found.tokens, other.reusedTokens], [wanted.tokens, one.reusedTokens]);
    model.dispose();
  }
});

Deno.test("saving ends a generation that has not come to its end, and keeps what it has", async () => {
  const model = await loadBundled({ context: 256, sequences: 2 });
  const [one, other] = [new Session(model.sequence()), new Session(model.sequence())];
  const ids = model.tokenizer.encode("It was late, and the old house");
  const events = (await one.generate(ids))[Symbol.asyncIterator]();
  for (let i = 0; i < 4; i++) await events.next();
  await other.restore(await one.save());
  assertEquals((await events.next()).done, true);
  assertEquals(other.tokens.length, ids.length + 4);
  // A reply that was ended goes on as if it had not been.
  await (await other.generate(other.tokens, { maxTokens: 8 })).result();
  await one.forget();
  const whole = await (await one.generate(ids, { maxTokens: 12 })).result();
  assertEquals(other.tokens.slice(ids.length), whole.tokens);
  model.dispose();
});

Deno.test("a session refuses what is damaged, and stays what it was", async () => {
  const model = await loadBundled({ context: 256 });
  const session = new Session(model.sequence());
  const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 60);
  await (await session.generate(ids, OPTIONS)).result();
  const snapshot = await session.save();
  const damaged = snapshot.slice();
  damaged[snapshot.length >> 1] ^= 4;
  await assertRejects(() => session.restore(damaged), SnapshotError, "SHA-256");
  assertSameBytes(await session.save(), snapshot);
  await assertRejects(() => session.restoreFrom(chunksOf(damaged, 1000)), SnapshotError, "SHA-256");
  assertEquals(session.tokens, []);
  await session.restore(snapshot);
  assertSameBytes(await session.save(), snapshot);
  session.note = "x".repeat(2 ** 20 + 1);
  await assertRejects(() => session.save(), OptionError, "note");
  await assertRejects(async () => await session.saveChunks(0).next(), OptionError, "maxBytes");
  model.dispose();
});
