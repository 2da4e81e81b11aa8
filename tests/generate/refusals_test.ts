/** What a program without types may hand over: refused by name, with what was found, at the call. */
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { loadModel as loadByHand } from "../../src/entry/manual.ts";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import type { GenerateOptions } from "../../src/generate/options.ts";
import { loadModel } from "../../src/runtime/load_model.ts";
import { BUNDLED, loadBundled } from "./bundled.ts";

const wrong = (value: unknown) => value as never;

Deno.test("an OptionError quotes any value on one short line", () => {
  const found = (value: unknown) => new OptionError("x", value, "y").message;
  assertEquals(found(NaN), "x is NaN, wanted y");
  assertEquals(found(-Infinity), "x is -Infinity, wanted y");
  assertEquals(found(5n), "x is 5, wanted y");
  assertEquals(found(undefined), "x is not given, wanted y");
  assertEquals(found("a\nb"), 'x is "a\\nb", wanted y');
  assertEquals(found({ a: 5n }), "x is [object Object], wanted y");
  const circle: unknown[] = [];
  circle.push(circle);
  for (const value of ["long ".repeat(1e5), circle, Symbol("s"), () => 1]) {
    assertMatch(found(value), /^x is [^\n]{0,201}, wanted y$/);
  }
});

Deno.test("generate() refuses prompts and options of the wrong kind by name", async () => {
  const model = await loadBundled({ context: 64 });
  for (const prompt of [undefined, null, 5, true, {}]) {
    assertThrows(() => generate(model, wrong(prompt)), OptionError, "prompt is");
  }
  for (const id of [5n, "a", NaN, 1.5, -1]) {
    assertThrows(() => generate(model, wrong([id])), OptionError, "wanted token ids");
  }
  const options: GenerateOptions[] = [
    ...[5, [5], null, [null], [""]].map((stop) => ({ stop: wrong(stop) })),
    ...[NaN, 5n, "5"].map((maxTokens) => ({ maxTokens: wrong(maxTokens) })),
    ...[0, 1e-9, 101, NaN].map((repetitionPenalty) => ({ repetitionPenalty })),
  ];
  for (const option of options) {
    assertThrows(() => generate(model, "The", option), OptionError, `${Object.keys(option)[0]} is`);
  }
  const { tokens } = await generate(model, wrong(new Uint32Array([550])), { maxTokens: 2 }).result();
  assertEquals(tokens.length, 2);
  model.dispose();
});

Deno.test("loadModel() rejects, and never throws before there is a promise", async () => {
  for (
    const input of [undefined, null, 5, "", "ftp://example.com/model.gguf", new URL("ftp://example.com/m")]
  ) {
    await assertRejects(() => loadModel(wrong(input)), OptionError, "model is");
    await assertRejects(() => loadByHand(wrong(input), { kernels: {} }), OptionError, "model is");
  }
  for (const maxBytes of [NaN, -1, 0, "16MB"]) {
    await assertRejects(() => loadModel(BUNDLED, { maxBytes: wrong(maxBytes) }), OptionError, "maxBytes is");
  }
});

Deno.test("names of the wrong kind are refused by name, and a context beyond the model's tells what reaches it", async () => {
  for (const option of ["policy", "storage", "read", "budgetRule"]) {
    const options = { policy: "h2o", [option]: wrong(5) };
    await assertRejects(() => loadModel(BUNDLED, options), OptionError, "is 5, wanted the name of one");
  }
  const beyond = loadModel(BUNDLED, { context: 2048 });
  await assertRejects(
    () => beyond,
    OptionError,
    "from 1 to 1024, the model's own (more with a policy at compact positions)",
  );
});
