/**
 * Replies held to a schema: on models whose weights know nothing of JSON, and against a mask by trying every token alone.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { OptionError } from "../../src/error.ts";
import { generate } from "../../src/generate.ts";
import { type Binary, type Constraint, loadModel, type Model } from "../../mod.ts";
import { document } from "../../src/structured/items.ts";
import { schemaConstraint } from "../../src/structured/mod.ts";
import { readSchema } from "../../src/structured/schema.ts";
import { accepts, END, type Stack, step } from "../../src/structured/stack.ts";
import { loadBundled } from "../generate/bundled.ts";
import { loadStories, present } from "../model/stories.ts";
import { tinyModel } from "../model/tiny_model.ts";
import { assertValid, SCHEMAS } from "./schemas.ts";

/** Every schema, hot and cold: what is complete is valid, and most is. */
async function assertReplies(model: Model): Promise<void> {
  const memory = model.memoryBytes;
  let [complete, all] = [0, 0];
  for (const [name, schema] of Object.entries(SCHEMAS)) {
    for (const temperature of [0, 1, 5]) {
      const options = { jsonSchema: schema as object, temperature, seed: all, maxTokens: 400 };
      const { text, finishReason, tokens } = await generate(model, "Once", options).result();
      all++;
      if (finishReason === "length") {
        assertEquals(tokens.length, 400);
        continue;
      }
      assertEquals(finishReason, "stop", name);
      assertValid(schema, text);
      complete++;
    }
  }
  assert(complete > all / 2, `${complete} of ${all} came to an end`);
  assertEquals([model.memoryBytes, model.brokenGuards()], [memory, []]);
}

for (const binary of ["simd128", "relaxed"] as const satisfies Binary[]) {
  Deno.test(`replies of the bundled model on ${binary} are valid JSON`, async () => {
    const model = await loadBundled({ binary, context: 420 });
    await assertReplies(model);
    model.dispose();
  });

  Deno.test({
    name: `replies of a SentencePiece model on ${binary} are valid JSON`,
    ignore: !present,
    fn: async () => {
      const model = await loadStories("stories260K/stories260K-f32.gguf", { binary, context: 420 });
      await assertReplies(model);
      model.dispose();
    },
  });
}

Deno.test("the mask is what trying every token alone gives", async () => {
  const model = await loadBundled({});
  const { tokenizer } = model;
  const bytesOf = Array.from({ length: tokenizer.nVocab }, (_, id) => tokenizer.tokenBytes(id).slice());
  const text = (id: number) =>
    !tokenizer.isControl(id) && !tokenizer.eogIds.has(id) && bytesOf[id].length > 0;
  for (const schema of Object.values(SCHEMAS)) {
    const constraint = schemaConstraint(tokenizer, schema, "schema");
    const mask = new Uint32Array(Math.ceil(tokenizer.nVocab / 32));
    let stacks: Stack[] = [document(readSchema(schema, "schema"), END)];
    let state = 7;
    for (let steps = 0; steps < 25 && !constraint.complete; steps++) {
      assertEquals(constraint.fill(mask), true);
      const found = bytesOf.keys().filter((id) => mask[id >>> 5] >>> (id & 31) & 1).toArray();
      const wanted = bytesOf.keys().filter((id) => {
        if (tokenizer.eogIds.has(id)) return stacks.some(accepts);
        return text(id) && bytesOf[id].reduce(step, stacks).length > 0;
      }).toArray();
      assertEquals(found, wanted);
      const choices = found.filter(text);
      if (choices.length === 0) break;
      state = Math.imul(state, 48271) >>> 0;
      const id = choices[state % choices.length];
      constraint.accept(id);
      stacks = bytesOf[id].reduce(step, stacks);
    }
  }
  model.dispose();
});

Deno.test("a bias can't bring back what the schema bans, and logprobs are among what it leaves", async () => {
  const model = await loadBundled({});
  const [x] = model.tokenizer.encode("x", { addSpecial: false });
  const options = {
    jsonSchema: { enum: ["yes", "no"] },
    logitBias: { [x]: 100 },
    logprobs: 5,
    maxTokens: 20,
  };
  const events = await Array.fromAsync(generate(model, "Once", options));
  assert(["yes", "no"].includes(JSON.parse(events.map(({ text }) => text).join(""))));
  for (const { logprobs } of events) {
    const mass = logprobs!.top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
    assert(logprobs!.logprob <= 1e-3 && mass <= 1 + 1e-3);
  }
  model.dispose();
});

Deno.test("a constraint of one's own chooses among what it leaves, and takes no schema beside it", async () => {
  const model = await loadBundled({});
  const ids = model.tokenizer.encode("The old house", { addSpecial: false });
  let step = 0;
  const constraint: Constraint = {
    fill: (mask) =>
      mask.fill(0).fill(1 << (ids[step] & 31), ids[step] >>> 5, (ids[step] >>> 5) + 1).length > 0,
    accept: (id) => assertEquals(id, ids[step++]),
    get complete() {
      return step === ids.length;
    },
  };
  const { text, tokens, finishReason } = await generate(model, "Once", { constraint, temperature: 2 })
    .result();
  assertEquals([text, tokens, finishReason], [model.tokenizer.decode(ids), ids, "stop"]);
  assertThrows(() => generate(model, "x", { constraint, jsonSchema: {} }), OptionError, "constraint");
  model.dispose();
});

Deno.test("a wrong schema is refused before anything runs, one that no token can spell at the first of them", async () => {
  const model = await loadBundled({});
  assertThrows(() => generate(model, "x", { jsonSchema: { type: "text" } }), OptionError, "jsonSchema.type");
  model.dispose();
  const tiny = await loadModel(tinyModel());
  await assertRejects(
    () => generate(tiny, [5], { jsonSchema: {} }).result(),
    OptionError,
    "no token goes on",
  );
  tiny.dispose();
});
