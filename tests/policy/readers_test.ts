/** Readers and what comes with them in real models. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { anchorPolicy } from "../../src/cache/policies/anchor.ts";
import { type CacheOptions, planCache } from "../../src/cache/cache_plan.ts";
import { GgufError, OptionError, SnapshotError, UnsupportedModelError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import { type GgufValue, Metadata } from "../../src/gguf/metadata.ts";
import type { Hparams } from "../../src/hparams.ts";
import { declaredAnchors } from "../../src/model/declared_anchors.ts";
import type { LoadOptions } from "../../src/model/engine.ts";
import { writeClasses } from "../../src/model/token_classes.ts";
import { loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { ARCH_CASES, loadArch } from "../golden/arch.ts";

const SQUEEZED = "squeezed:window=32,share=0.1,rho=0.8";

Deno.test("quest: with a budget of the whole text the tokens are those of plain attention", async () => {
  const options = { maxTokens: 24, ignoreEos: true };
  const plain = await loadBundled();
  const { tokens: wanted } = await generate(plain, LONG_TEXT, options).result();
  for (const read of ["quest:tokens=768,dense=0", "quest:tokens=768,page=64", "quest:tokens=0.1,dense=4"]) {
    const model = await loadBundled({ read });
    const { tokens } = await generate(model, LONG_TEXT, options).result();
    assertEquals(tokens, wanted, read);
    model.dispose();
  }
  plain.dispose();
});

const SYSTEMS: readonly Partial<LoadOptions>[] = [
  { read: "quest:tokens=64,dense=0" },
  { read: "quest:tokens=32,page=8,dense=1", policy: "h2o", budget: 96 },
  { read: SQUEEZED },
  { policy: "sepllm", budget: 64 },
  { policy: "anchor", budget: 128 },
  { policy: "anchor:sees=segment,at=newline", budget: 128 },
  { policy: anchorPolicy([".", ","], { sees: "anchors", layers: [0, 0, 1, 1] }), budget: 128 },
  { policy: "subgen", budget: 64 },
  { policy: "subgen:form=sample,clusters=20", budget: 64 },
  { policy: "k_center:recent=16", budget: 64 },
];

for (const system of SYSTEMS) {
  const name = `${typeof system.policy === "object" ? "anchors across layers" : system.policy ?? ""} ${
    system.read ?? ""
  }`;
  Deno.test(`${name.trim()}: a snapshot goes on as the text would have, memory stays, a reset forgets`, async () => {
    for (const binary of ["simd128", "relaxed"] as const) {
      const model = await loadBundled({ ...system, binary, chunk: 32, sequences: 2 });
      const [one, other] = [model.sequence(), model.sequence()];
      const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 300);
      const read = () => system.read === SQUEEZED ? one.squeeze(ids) : one.prefill(ids);
      await read();
      for (const id of ids.slice(0, 9)) one.decode(id);
      other.restore(one.save());
      for (const id of ids.slice(9, 20)) {
        one.decode(id);
        other.decode(id);
        assertEquals(other.logits(), one.logits());
      }
      assert(one.logits().every(Number.isFinite));
      const [wanted, bytes] = [one.logits().slice(), model.memoryBytes];
      assertEquals(model.brokenGuards(), []);
      one.reset();
      await read();
      for (const id of ids.slice(0, 20)) one.decode(id);
      assertEquals(one.logits(), wanted);
      assertEquals(model.memoryBytes, bytes);
      model.dispose();
    }
  });
}

Deno.test("squeeze: who makes no index, or cannot take the prefix, says so", async () => {
  const plain = await loadBundled();
  await assertRejects(() => plain.sequence().squeeze([1, 2, 3]), OptionError, "squeezed");
  plain.dispose();
  const model = await loadBundled({ read: `${SQUEEZED},prefix=100` });
  const sequence = model.sequence();
  const ids = model.tokenizer.encode(LONG_TEXT);
  await assertRejects(() => sequence.squeeze(ids.slice(0, 32)), OptionError, "33 to 100 tokens");
  await assertRejects(() => sequence.squeeze(ids.slice(0, 101)), OptionError, "33 to 100 tokens");
  await sequence.prefill(ids.slice(0, 4));
  await assertRejects(() => sequence.squeeze(ids.slice(0, 90)), OptionError, "an empty one");
  sequence.reset();
  await assertRejects(() => sequence.squeeze(ids.slice(0, 90), { signal: AbortSignal.abort("no") }));
  let [done, total] = [0, 0];
  await sequence.squeeze(ids.slice(0, 90), { onProgress: (progress) => ({ done, total } = progress) });
  assertEquals([done, total], [180, 180]);
  const other = await loadBundled({ read: SQUEEZED });
  assertThrows(() => other.sequence().restore(sequence.save()), SnapshotError);
  other.dispose();
  model.dispose();
});

Deno.test("separators and anchors thin the cache to what the report tells", async () => {
  const ids = async (system: Partial<LoadOptions>) => {
    const model = await loadBundled({ chunk: 32, ...system });
    const sequence = model.sequence();
    const tokens = model.tokenizer.encode(LONG_TEXT).slice(0, 400);
    await sequence.prefill(tokens);
    const separators = tokens.filter((id) => /[.,;:!?\n]/.test(model.tokenizer.decode([id]))).length;
    const { slots, bytes } = sequence.cache();
    model.dispose();
    return { slots, bytes, separators };
  };
  const full = await ids({});
  const anchors = await ids({ policy: "anchor", budget: 128 });
  // The anchors, and a segment that runs.
  assert(anchors.slots >= anchors.separators && anchors.slots < anchors.separators + 16);
  assert(anchors.slots < 0.3 * 400 && anchors.bytes < 0.3 * full.bytes);
  const sepllm = await ids({ policy: "sepllm", budget: 64 });
  assert(sepllm.slots <= 64 && sepllm.slots >= 32 + 4);
});

for (const golden of ARCH_CASES) {
  const { name, ids } = golden;
  Deno.test(`${name}: readers run or are refused by name`, async () => {
    for (
      const system of [
        { read: "quest:tokens=4,page=4,dense=0" },
        { policy: "subgen", budget: 8 },
        { policy: "sepllm:sinks=1", budget: 8 },
        { policy: "anchor", budget: 8 },
        { policy: "k_center:recent=4,reserve=64", budget: 8 },
      ]
    ) {
      const model = await loadArch(golden, { chunk: 8, ...system }).catch((error) => {
        assert(error instanceof UnsupportedModelError && system.policy === "subgen", String(error));
      });
      if (model === undefined) continue;
      const sequence = model.sequence();
      await sequence.prefill(ids.slice(0, -4));
      for (const id of ids.slice(-4)) sequence.decode(id);
      assert(sequence.logits().every(Number.isFinite), JSON.stringify(system));
      assertEquals(model.brokenGuards(), []);
      model.dispose();
    }
  });
}

Deno.test("what does not go together is refused by name", () => {
  const hparams = {
    nLayers: 2,
    nHeads: 4,
    nKvHeads: 2,
    headDim: 32,
    valueDim: 32,
    positions: "rope",
    windows: [0, 0],
    attentionSoftcap: 0,
  } as unknown as Hparams;
  const plan = (options: CacheOptions, more: Partial<Hparams> = {}) =>
    planCache({ ...hparams, ...more }, { k: "q8_0", v: "q8_0" }, options, 32, 1000);
  const bad: [CacheOptions, string][] = [
    [{ read: "squeezed", policy: "h2o" }, "policy full"],
    [{ read: "squeezed:coarse=0.1" }, "less than share"],
    [{ read: "squeezed:window=1000" }, "less than the 1000 tokens"],
    [{ read: "squeezed:prefix=50" }, "less than the 50 tokens"],
    [{ read: "quest:page=5" }, "4, 8, 16, 32, 64"],
    [{ read: "quest:tokens=8" }, "at least a page, 32"],
    [{ read: "subgen" }, "policy subgen"],
    [{ read: "anchor", policy: "h2o" }, "policy anchor"],
    [{ read: "dense", policy: "subgen" }, "brings its own"],
    [{ read: "quest", policy: "anchor" }, "brings its own"],
    [{ read: "quest", storage: "kivi" }, "storage plain"],
    [{ read: "quest", policy: "h2o", positions: "compact" }, "index of quest"],
    [{ policy: "subgen:form=best" }, "fold, sample"],
    [{ policy: "sepllm", budget: 5 }, "at least 6"],
    [{ policy: anchorPolicy(["."], { sees: "anchors", layers: [0, 2] }) }, ""],
    [{ policy: anchorPolicy(["."], { sees: "anchors", layers: [0] }) }, ""],
  ];
  for (const [options, message] of bad) {
    assertThrows(() => plan(options), Error, message, JSON.stringify(options));
  }
  const alibi = { positions: "alibi" } as const;
  assertThrows(() => plan({ policy: "subgen" }, alibi), UnsupportedModelError, "ALiBi");
  assertThrows(() => plan({ read: "squeezed" }, alibi), OptionError, "ALiBi");
  const crossing = anchorPolicy(["."], { sees: "anchors", layers: [0, 0] });
  assertThrows(() => plan({ policy: crossing }, alibi), UnsupportedModelError, "across layers");
});

Deno.test("a file declares its anchors", () => {
  const strings = (...texts: string[]): GgufValue => {
    const pieces = texts.map((text) => new TextEncoder().encode(text));
    const offsets = pieces.reduce((all, { length }) => [...all, all.at(-1)! + length], [0]);
    return {
      length: texts.length,
      bytes: Uint8Array.from(pieces.flatMap((piece) => [...piece])),
      offsets: Uint32Array.from(offsets),
    };
  };
  const read = (values: Record<string, GgufValue>) =>
    declaredAnchors(
      new Metadata(
        new Map(Object.entries(values).map(([key, value]) => [`locket.anchor.${key}`, { value, offset: 0 }])),
      ),
    );
  assertEquals(read({}), undefined);
  const found = read({
    separators: strings(".", "\n", "é"),
    sees: "segment",
    layers: Uint32Array.from([0, 0]),
  });
  assertEquals(found?.classes, [".", "\n", "é"]);
  assertEquals(found?.anchors, { sees: "segment", layers: [0, 0] });
  assertEquals(read({ separators: strings(".") })?.anchors, { sees: "anchors" });
  assertThrows(() => read({ separators: strings(), sees: "anchors" }), UnsupportedModelError, "separators");
  assertThrows(() => read({ separators: strings("."), sees: "all" }), UnsupportedModelError, "anchors see");
  assertThrows(() => read({ separators: 3 }), GgufError);
  assertThrows(() => read({ separators: strings("."), layers: "0" }), GgufError);
});

Deno.test("classes of tokens are those of their texts", async () => {
  const model = await loadBundled();
  const classes = new Uint8Array(model.hparams.nVocab);
  writeClasses(classes, model.tokenizer, [",", "he"]);
  for (let id = 0; id < classes.length; id++) {
    const text = model.tokenizer.isControl(id) ? "" : model.tokenizer.decode([id]);
    assertEquals(classes[id] === 1, /,|he/.test(text), text);
  }
  model.dispose();
});
