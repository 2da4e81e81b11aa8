import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { SnapshotError } from "../../src/error.ts";
import { loadModel, type LoadOptions } from "../../src/model/engine.ts";
import type { Sequence } from "../../src/model/sequence.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { Session } from "../../src/session/session.ts";
import { TINY, tinyModel, type TinyOptions } from "../model/tiny_model.ts";
import { assertSameBytes } from "./going_on.ts";
import { type Opened, openSealed, seal, sectionOf } from "./sealed.ts";

function load(options: Partial<LoadOptions> = {}, tiny?: TinyOptions) {
  return loadModel(openSource(tinyModel(tiny)), {
    kernels: kernelModule,
    binary: "simd128",
    context: 96,
    chunk: 16,
    ...options,
  });
}

const IDS = Array.from({ length: 90 }, (_, i) => (i * 17 + 5) % TINY.nVocab);
const POLICY = { policy: "keyformer", budget: 24 } as const;

/** Two sequences: one with a text that must not change, and a snapshot of the other. */
async function pair(options: Partial<LoadOptions> = POLICY) {
  const model = await load({ ...options, sequences: 2 });
  const [running, saved] = [model.sequence(), model.sequence()];
  await running.prefill(IDS.slice(40));
  await saved.prefill(IDS.slice(0, 50));
  for (const id of IDS.slice(0, 5)) saved.decode(id);
  return { model, running, snapshot: saved.save() };
}

/** Refuses the bytes by name and leaves the sequence as it was. */
function assertRefused(sequence: Sequence, bytes: Uint8Array): SnapshotError {
  const before = sequence.save();
  const error = assertThrows(() => sequence.restore(bytes), SnapshotError);
  assertSameBytes(sequence.save(), before);
  return error;
}

Deno.test("a snapshot of another model, type, policy or budget is refused by the name of what differs", async () => {
  const { snapshot } = await pair();
  const fineTuned: TinyOptions = {
    tensors: (all) =>
      all.map((tensor) => {
        if (tensor.name !== "blk.1.ffn_up.weight") return tensor;
        const data = tensor.data!.map((byte, i) => i % 4 === 1 ? byte ^ 1 : byte);
        return { ...tensor, data };
      }),
  };
  const cases: [string, Partial<LoadOptions>, TinyOptions?][] = [
    ["model", POLICY, fineTuned],
    ["model", POLICY, { keys: { "attention.layer_norm_rms_epsilon": { type: "FLOAT32", value: 2e-5 } } }],
    ["keys", { ...POLICY, kvType: { k: "f16", v: "q8_0" } }],
    ["values", { ...POLICY, kvType: { k: "q8_0", v: "q4_0" } }],
    ["policy", { policy: "h2o", budget: 24 }],
    ["policy", {}],
    ["policy parameters", { ...POLICY, policy: "keyformer:seed=1" }],
    ["policy parameters", { ...POLICY, policy: "keyformer:pyramid=2" }],
    ["budget", { ...POLICY, budget: 25 }],
    ["prefill", { ...POLICY, prefill: "whole" }],
  ];
  for (const [name, options, tiny] of cases) {
    const sequence = (await load(options, tiny)).sequence();
    await sequence.prefill(IDS.slice(0, 30));
    assertEquals(assertRefused(sequence, snapshot).what, name);
  }
  (await load({ ...POLICY, binary: "relaxed" })).sequence().restore(snapshot);
});

Deno.test("a session's snapshot is none of a sequence, and the other way round", async () => {
  const { model, running, snapshot } = await pair();
  running.release();
  const session = new Session(model.sequence());
  await assertRejects(() => session.restore(snapshot), SnapshotError, "sections");
  const sequence = (await load(POLICY)).sequence();
  assertEquals(assertRefused(sequence, await session.save()).what, "its sections");
});

Deno.test("cut short, flipped, prolonged: refused, in one piece and in chunks", async () => {
  const { running, snapshot, model } = await pair();
  const other = (await load(POLICY)).sequence();
  const damage = fc.oneof(
    fc.nat(snapshot.length - 1).map((length) => snapshot.subarray(0, length)),
    fc.tuple(fc.nat(snapshot.length - 1), fc.nat(7)).map(([at, bit]) => {
      const bytes = snapshot.slice();
      bytes[at] ^= 1 << bit;
      return bytes;
    }),
    fc.uint8Array({ minLength: 1, maxLength: 40 }).map((more) => Uint8Array.from([...snapshot, ...more])),
    fc.uint8Array({ maxLength: 100 }),
  );
  await fc.assert(
    fc.asyncProperty(damage, fc.integer({ min: 1, max: 5000 }), async (bytes, size) => {
      assertRefused(running, bytes);
      const chunks = function* () {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
      };
      await assertRejects(() => other.restoreFrom(chunks()), SnapshotError);
      assertEquals(other.position, 0);
    }),
    { numRuns: 150 },
  );
  // Nothing of what was refused is left to disturb a text.
  const fresh = (await load(POLICY)).sequence();
  await other.prefill(IDS);
  await fresh.prefill(IDS);
  assertEquals(other.logits(), fresh.logits());
  assertEquals(model.brokenGuards(), []);
});

Deno.test("a head that lies under a right digest is refused by name, whatever it says", async () => {
  const { running, snapshot } = await pair();
  const opened = openSealed(snapshot);
  const lie = (change: (head: Opened["head"]) => void) => {
    const head = structuredClone(opened.head);
    change(head);
    return assertRefused(running, seal({ ...opened, head }));
  };
  const what = (change: (head: Opened["head"]) => void) => lie(change).what;
  assertEquals(what((head) => head.position = 97), "length of its text");
  assertEquals(what((head) => head.position = -1), "length of its text");
  assertEquals(what((head) => head.position = 3), "positions in layer 0, KV head 0,");
  assertEquals(what((head) => head.used[1][0] = 2 ** 31), "slots used in layer 1");
  assertEquals(what((head) => head.used = []), "its used slots");
  assertEquals(what((head) => head.used[0] = [1e300]), "its used slots");
  assertEquals(what((head) => head.used[0][1]--), "size of section positions");
  assertEquals(what((head) => head.keeper.budgets[0] = 2 ** 32 - 1), "budget of layer 0");
  assertEquals(what((head) => head.keeper.budgets[1] = 0), "budget of layer 1");
  assertEquals(what((head) => head.keeper.budgets = null), "budgets");
  assertEquals(what((head) => head.keeper.step = 0.5), "step");
  assertEquals(what((head) => head.keeper = null), "step");
  assertEquals(what((head) => head.sections[1][1] = 2 ** 52), "size of section keys");
  assertEquals(what((head) => head.sections[1][1]++), "size of section keys");
  assertEquals(what((head) => head.sections.reverse()), "its sections");
  assertEquals(what((head) => head.sections.push(head.sections[0])), "its sections");
  assertEquals(what((head) => head.sections = 7), "its sections");
  assertEquals(what((head) => delete head.binding), "model");
  assertEquals(what((head) => head.binding = null), "model");
  for (const head of ["", "[]", "null", "{", '{"binding":', "[".repeat(100_000)]) {
    assert(assertRefused(running, seal({ ...opened, head })).what.length > 0);
  }
  for (const size of [2 ** 32 - 1, 2 ** 20 + 1]) {
    assertEquals(assertRefused(running, seal(opened, size)).what, "size of its head");
  }
});

Deno.test("positions that lie under a right digest are refused", async () => {
  const { running, snapshot } = await pair();
  const forge = (change: (positions: Uint32Array, opened: Opened) => void) => {
    const opened = openSealed(snapshot);
    const section = sectionOf(opened, "positions");
    const positions = new Uint32Array(section.slice().buffer);
    change(positions, opened);
    section.set(new Uint8Array(positions.buffer));
    return assertRefused(running, seal(opened)).what;
  };
  const first = "positions in layer 0, KV head 0,";
  assertEquals(forge((positions) => positions[0] = positions[1]), first);
  assertEquals(forge((positions) => positions[0] = 55), first);
  assertEquals(forge((positions, { head }) => positions.fill(2 ** 32 - 1, 0, head.used[0][0])), first);
});

Deno.test("more tokens than leave room for the next chunk are refused", async () => {
  const { running, snapshot } = await pair();
  const { head } = openSealed(snapshot);
  // A budget of 24 slots and a chunk of 16 make a cache of 64, of which a chunk needs 16 free.
  const most = 64;
  assert(head.used.flat().every((used: number) => used <= 32), "one group of slots is used now");
  const heads = head.used.flat().length;
  const forged = head.sections.map(([name, bytes]: [string, number]) => {
    if (name === "positions") {
      return new Uint8Array(Uint32Array.from({ length: heads * most }, (_, i) => i % most).buffer);
    }
    return new Uint8Array(name === "logits" ? bytes : 2 * bytes);
  });
  const error = assertRefused(
    running,
    seal({
      head: {
        ...head,
        position: 90,
        used: head.used.map((layer: number[]) => layer.map(() => most)),
        sections: head.sections.map(([name]: [string], i: number) => [name, forged[i].length]),
      },
      sections: new Uint8Array(forged.flatMap((part: Uint8Array) => [...part])),
    }),
  );
  assertEquals([error.what, error.found], ["positions in layer 0, KV head 0,", "64 tokens"]);
});

Deno.test("keys, values and scores of any bytes are harmless, and leave nothing behind", async () => {
  const { model, running, snapshot } = await pair();
  const opened = openSealed(snapshot);
  const fresh = (await load(POLICY)).sequence();
  await fresh.prefill(IDS);
  const wanted = fresh.logits().slice();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(0xff, 0x7f, 0x80, 0x00), fc.nat(), async (fill, seed) => {
      const { head, sections } = { head: opened.head, sections: opened.sections.slice() };
      for (const name of ["keys", "values", "scores", "logits"]) {
        const bytes = sectionOf({ head, sections }, name);
        if (fill === 0) bytes.forEach((_, i) => bytes[i] = Math.imul(seed + i, 2654435761) >>> 24);
        else bytes.fill(fill);
      }
      running.restore(seal({ head, sections }));
      for (let i = 0; i < 10; i++) running.decode(i);
      await running.prefill(IDS.slice(0, 20));
      running.reset();
      await running.prefill(IDS);
      assertEquals(running.logits(), wanted);
    }),
    { numRuns: 30 },
  );
  assertEquals(model.brokenGuards(), []);
});

/** All places of a JSON value. */
function places(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (value === null || typeof value !== "object") return [path];
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  return [path, ...keys.flatMap((key) => places((value as Record<string, unknown>)[key], [...path, key]))];
}

Deno.test("whatever a sealed snapshot says: refused with nothing changed, or restored and running", async () => {
  let [refused, restored] = [0, 0];
  for (const options of [POLICY, {}, { policy: "snapkv:window=4,reserve=8", budget: 16 }]) {
    const { model, running, snapshot } = await pair(options);
    const opened = openSealed(snapshot);
    const all = places(opened.head).filter((path) => path.length > 0 && path[0] !== "binding");
    const number = fc.oneof(
      fc.integer({ min: -2, max: 100 }),
      fc.constantFrom(2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 1e308, 0.5),
    );
    const value = fc.oneof(
      { weight: 3, arbitrary: number },
      fc.constantFrom(null, "", "x", true, [], {}, [[]], [0, 0]),
    );
    const forgery = fc.record({
      heads: fc.array(fc.tuple(fc.nat(all.length - 1), value), { maxLength: 2 }),
      words: fc.array(fc.tuple(fc.nat(1000), fc.integer({ min: 0, max: 60 })), { maxLength: 3 }),
      // Sections out of order are refused whatever they hold.
      swap: fc.nat(9).map((n) => n === 0),
    });
    await fc.assert(
      fc.asyncProperty(forgery, async ({ heads, words, swap }) => {
        const head = structuredClone(opened.head);
        for (const [at, value] of heads) {
          const path = all[at];
          const parent = path.slice(0, -1).reduce((inner, key) => inner?.[key], head);
          // A copy: the drawn lists and objects are the same in every run, and the next place may lie inside this one.
          if (parent !== null && typeof parent === "object") parent[path.at(-1)!] = structuredClone(value);
        }
        const sections = opened.sections.slice();
        const section = sectionOf({ head: opened.head, sections }, "positions");
        const positions = new Uint32Array(section.slice().buffer);
        for (const [at, position] of words) {
          positions[at % positions.length] = position === 60 ? 2 ** 32 - 1 : position;
        }
        section.set(new Uint8Array(positions.buffer));
        if (swap) sections.reverse();
        const forged = seal({ head, sections });
        running.reset();
        await running.prefill(IDS.slice(40, 80));
        const before = running.save();
        try {
          running.restore(forged);
          restored++;
        } catch (error) {
          if (!(error instanceof SnapshotError)) throw error;
          refused++;
          return assertSameBytes(running.save(), before);
        }
        for (let i = 0; i < 8 && !running.full; i++) running.decode(i);
        const room = running.capacity - running.position;
        if (room > 0 && running.hasSlots(room)) await running.prefill(IDS.slice(0, room));
      }),
      { numRuns: 200 },
    );
    assertEquals(model.brokenGuards(), []);
  }
  assert(refused > 50 && restored > 25, `${refused} refused, ${restored} restored`);
});

Deno.test("a session's text and note are checked like all the rest", async () => {
  const session = new Session((await load()).sequence());
  await (await session.generate(IDS.slice(0, 30), { maxTokens: 3, ignoreEos: true })).result();
  const before = await session.save();
  const opened = openSealed(before);
  const forge = async (name: string, bytes: number, fill: number) => {
    const head = structuredClone(opened.head);
    head.sections.find(([found]: [string]) => found === name)[1] = bytes;
    const parts = opened.head.sections.map(([found]: [string]) =>
      found === name ? new Uint8Array(Math.min(bytes, 2 ** 21)).fill(fill) : sectionOf(opened, found)
    );
    const sections = new Uint8Array(await new Blob(parts).arrayBuffer());
    const error = await assertRejects(() => session.restore(seal({ head, sections })), SnapshotError);
    assertSameBytes(await session.save(), before);
    return error.what;
  };
  assertEquals(await forge("text", 4 * 33, 0xff), "a token of its text");
  for (const bytes of [0, 4 * 31, 4 * 33 + 1, 4 * 98, 2 ** 32 - 1]) {
    assertEquals(await forge("text", bytes, 0), "size of section text");
  }
  assertEquals(await forge("note", 2 ** 20 + 1, 0), "size of section note");
});
