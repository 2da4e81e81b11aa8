import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeCalibration } from "../../src/cache/calibration.ts";
import { calibrate } from "../../src/calibrate/calibrate.ts";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import { scoreContinuation } from "../../src/model/continuation.ts";
import { calibrationModule } from "../../src/runtime/calibration_module.ts";
import { loadModel } from "../../src/runtime/load_model.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { BUNDLED, loadBundled, LONG_TEXT } from "../generate/bundled.ts";
import { assertPlanned } from "../policy/planned.ts";
import { checkGoingOn } from "../snapshot/going_on.ts";

/** Codebooks of few centres, learned in a second or two. */
const small = await calibrate(openSource(BUNDLED), LONG_TEXT.repeat(2), {
  kernels: calibrationModule,
  channels: 4,
  bits: 5,
  window: 256,
  tokens: 512,
});
const calibration = encodeCalibration(small);

const STORAGES = [
  { storage: "kivi:bits=4" },
  { storage: "kivi:bits=2,recent=64" },
  { storage: "think" },
  { storage: "think:prune=0.2,window=16", kvType: "q4_0" },
  { storage: "cq", calibration },
  { storage: "mixed:bits=4", policy: "zipvl:others=demote,block=32", budget: 0.6 },
  { storage: "mixed:bits=8", policy: "zipvl:others=demote,tau=1", budget: 1, prefill: "sparse" },
] as const;

Deno.test("under every codec a text that fits into the recent tokens reads as it does exact", async () => {
  const plain = await loadBundled({ kvType: "f32" });
  const ids = plain.tokenizer.encode(LONG_TEXT).slice(0, 120);
  const wanted = await generate(plain, ids, { maxTokens: 24, ignoreEos: true }).result();
  for (const storage of ["kivi:recent=256", "think:window=256", "cq:recent=256"]) {
    const options = storage.startsWith("cq") ? { calibration } : {};
    for (const binary of ["simd128", "relaxed"] as const) {
      const model = await loadBundled({
        storage: `${storage},exact=f32`,
        kvType: "f32",
        binary,
        ...options,
      });
      const { tokens } = await generate(model, ids, { maxTokens: 24, ignoreEos: true }).result();
      assertEquals(tokens, wanted.tokens, storage);
      model.dispose();
    }
  }
  plain.dispose();
});

Deno.test("every codec reads and goes on with a text at little loss, in the bytes of its plan", async () => {
  const plain = await loadBundled({ kvType: "f16" });
  const ids = plain.tokenizer.encode(LONG_TEXT).slice(0, 480);
  const loss = async (options: Parameters<typeof loadBundled>[0]) => {
    const model = await loadBundled(options);
    const sequence = model.sequence();
    const { nll, tokens } = await scoreContinuation(sequence, ids.slice(0, 300), ids.slice(300));
    const report = sequence.cache();
    assertPlanned(model, report);
    model.dispose();
    return { nll: nll / tokens, bytes: report.bytes };
  };
  const whole = await loss({ kvType: "f16" });
  for (const options of STORAGES) {
    const { nll, bytes } = await loss(options);
    assert(nll - whole.nll < 0.5, `${options.storage}: ${nll} nats, exact ${whole.nll}`);
    assert(bytes < whole.bytes, `${options.storage}: ${bytes} bytes, exact ${whole.bytes}`);
  }
  plain.dispose();
});

Deno.test("a text that is cut back under a codec goes on as from the start", async () => {
  for (const options of STORAGES) {
    const model = await loadBundled({ ...options, chunk: 16 });
    const sequence = model.sequence();
    const ids = model.tokenizer.encode(LONG_TEXT).slice(0, 200);
    await sequence.prefill(ids);
    sequence.truncate(131);
    await sequence.prefill(ids.slice(131));
    assertEquals(sequence.position, 200);
    const [after] = [sequence.row.logSumExp() - sequence.row.view()[sequence.row.argmax()]];
    sequence.reset();
    await sequence.prefill(ids);
    const before = sequence.row.logSumExp() - sequence.row.view()[sequence.row.argmax()];
    assert(Math.abs(after - before) < 0.5, `${options.storage}: ${after}, ${before}`);
    model.dispose();
  }
});

Deno.test("codecs go with policies as far as they are said to", async () => {
  for (const policy of ["snapkv:window=8", "h2o", "keyformer"]) {
    for (const options of [STORAGES[2], STORAGES[4]]) {
      const model = await loadBundled({ ...options, policy, budget: 96, chunk: 32 });
      const sequence = model.sequence();
      await generate(sequence, LONG_TEXT, { maxTokens: 20, ignoreEos: true }).result();
      assert(sequence.cache().slots < 200);
      assertEquals(model.brokenGuards(), []);
      model.dispose();
    }
  }
  const model = await loadBundled({
    storage: "kivi",
    policy: "snapkv:window=8",
    budget: 96,
    prefill: "whole",
  });
  const { tokens } = await generate(model, LONG_TEXT, { maxTokens: 20, ignoreEos: true }).result();
  assertEquals(tokens.length, 20);
  model.dispose();
  for (const wrong of [{ policy: "h2o", prefill: "whole" }, { policy: "snapkv" }] as const) {
    await assertRejects(
      () => loadBundled({ storage: "kivi", budget: 96, ...wrong }),
      OptionError,
      "in groups",
    );
  }
  await assertRejects(
    () => loadBundled({ storage: "think", policy: "h2o", budget: 96, positions: "compact" }),
    OptionError,
    "positions",
  );
});

Deno.test("a missing calibration and one of another model are refused before anything is loaded", async () => {
  await assertRejects(() => loadBundled({ storage: "cq" }), OptionError, "calibrat");
  const other = encodeCalibration({ ...small, model: "another" });
  await assertRejects(() => loadBundled({ storage: "cq", calibration: other }), OptionError, "another model");
  await assertRejects(() => loadBundled({ storage: "cq:channels=2", calibration }), OptionError, "channels");
});

Deno.test("a calibration of a model with the same header and other weights is refused before a token is read", async () => {
  const bytes = await Deno.readFile(BUNDLED);
  // As a fine-tune of the upper layers would have it: the second half of the file is other weights.
  for (let i = bytes.length >> 1; i < bytes.length; i++) bytes[i] ^= 1;
  const load = (calibration?: Uint8Array) =>
    loadModel(bytes, { context: 64, storage: calibration ? "cq" : undefined, calibration });
  await assertRejects(() => load(calibration), OptionError, "another model");
  (await load()).dispose();
});

Deno.test("storage cq: restored, a sequence goes on as if it had never stopped", async () => {
  await checkGoingOn({ storage: "cq", calibration });
});
