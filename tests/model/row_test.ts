/**
 * Logits are there when they are those after the last token read, and refused at all other times.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import type { Sequence } from "../../src/model/sequence.ts";
import { loadModel } from "../../src/runtime/load_model.ts";

const MODEL = new URL("../../models/locket-books-q8_0.gguf", import.meta.url);
const IDS = [5, 80, 120, 7];

const refused = (sequence: Sequence) => {
  const wanted = "wanted a token read before its logits are";
  assertThrows(() => sequence.row.argmax(), OptionError, wanted);
  assertThrows(() => sequence.row.top(4), OptionError, wanted);
  assertThrows(() => sequence.logits(), OptionError, wanted);
};

Deno.test("logits are refused before a token was read, and whenever they are not of the last one", async () => {
  using model = await loadModel(MODEL, { context: 64, sequences: 2 });
  const sequence = model.sequence();
  refused(sequence);
  await sequence.prefill(IDS);
  const whole = Float32Array.from(sequence.logits());
  sequence.decode(9);
  assert(sequence.logits().every(Number.isFinite));

  sequence.truncate(IDS.length);
  refused(sequence);
  await assertRejects(() => generate(sequence, []).result(), OptionError, "without logits");
  sequence.truncate(IDS.length - 1);
  sequence.decode(IDS.at(-1)!);
  assertEquals(sequence.position, IDS.length);
  assert(sequence.row.argmax() === whole.indexOf(Math.max(...whole)));

  sequence.reset();
  refused(sequence);
  await sequence.score(IDS);
  refused(sequence);
  sequence.reset();
  await sequence.embed(IDS);
  refused(sequence);
  sequence.reset();
  const stop = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => sequence.prefill(IDS, { signal: stop }), Error, "enough");
  refused(sequence);

  await sequence.prefill(IDS);
  const other = model.sequence();
  other.restore(sequence.save());
  assertEquals(other.logits(), whole);
  other.restore(sequence.save([]), []);
  refused(other);
  other.release();
  refused(other);
});

Deno.test("`using` releases a sequence and disposes of a model at the end of the block", async () => {
  let kept;
  {
    using model = await loadModel(MODEL, { context: 64 });
    kept = model;
    {
      using sequence = model.sequence();
      sequence.decode(5);
      assertEquals(model.freeSequences, 0);
    }
    assertEquals(model.freeSequences, 1);
  }
  assertEquals(kept.memoryBytes, 0);
  assertThrows(() => kept.sequence(), OptionError, "disposed of");
});
