/**
 * What the table of platforms stands on: headers made from published shapes, and the search for a context.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { planModel as planFile } from "../../mod.ts";
import { largestContext } from "../../src/cli/largest_context.ts";
import { headerOf, SHAPES, STORAGES } from "../../src/cli/shapes.ts";
import { planModel, type PlanOptions } from "../../src/model/plan.ts";
import { smolModel } from "../runtime/workerd/smol_model.ts";
import { json } from "./run.ts";

Deno.test("a header made from a shape plans as a file of that shape does", async () => {
  const header = headerOf(SHAPES.smol135, STORAGES.pureQ4);
  for (const options of [{ context: 2304 }, { context: 8192, policy: "keyformer", budget: 1024 }]) {
    const made = planModel(header, options).regions;
    const read = (await planFile(smolModel(), options)).regions;
    // the words of the vocabularies differ
    const sizes = (regions: typeof made) =>
      regions.filter(({ name }) => name !== "vocabulary" && name !== "padding")
        .map(({ name, bytes }) => [name, bytes]);
    assertEquals(sizes(made), sizes(read));
  }
});

Deno.test("largestContext() fits, and a token more does not", () => {
  const header = headerOf(SHAPES.smol135, STORAGES.pureQ4);
  const options: PlanOptions[] = [{ kvType: "q8_0" }, { kvType: "q4_0" }, { kvType: "f16", sequences: 2 }];
  fc.assert(
    fc.property(fc.integer({ min: 70e6, max: 300e6 }), fc.constantFrom(...options), (maxBytes, options) => {
      const context = largestContext(header, options, maxBytes);
      const total = (context: number) => planModel(header, { ...options, context }).totalBytes;
      if (context > 0) assert(total(context) <= maxBytes);
      if (context < SHAPES.smol135.nContext) assert(total(context + 1) > maxBytes);
    }),
    { numRuns: 10 },
  );
});

Deno.test("platforms --json gives a context for each model, platform and cache", async () => {
  const rows = await json("platforms", []);
  assert(rows.length > 4);
  for (const { model, contexts, nContext } of rows) {
    assertEquals(contexts.length, 9, model);
    for (const { context } of contexts) assert(context >= 0 && context <= nContext, model);
  }
});
