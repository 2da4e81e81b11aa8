import { assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { instantiateKernels } from "../../src/kernels/load.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Layout } from "../../src/memory/handles.ts";
import { placeRegions, regionOffset } from "../../src/memory/plan.ts";
import { kernelModule } from "../../src/runtime/kernel_modules_deno.ts";
import { KernelRow, laySurvivors } from "../../src/sample/kernel_row.ts";
import { MAX_SURVIVORS } from "../../src/sample/logits.ts";
import { PlainRow } from "./plain_row.ts";

const MAX_VOCAB = 1200;

for (const binary of ["simd128", "relaxed"] as const) {
  const plan = placeRegions([{ name: "output", bytes: 5 * MAX_VOCAB + 8 * MAX_SURVIVORS }]);
  const kernels = await instantiateKernels(await kernelModule(binary), plan.totalBytes);
  const arena = new Arena(kernels.buffer, plan);
  const layout = new Layout(regionOffset(plan, "output"));
  const logits = layout.floats(MAX_VOCAB);
  const space = laySurvivors(MAX_VOCAB, layout);

  Deno.test(`KernelRow does what plain TypeScript does (${binary})`, () => {
    const number = fc.float({ min: -40, max: 40, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(number, { minLength: 1, maxLength: MAX_VOCAB, size: "max" }),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 9 })), { maxLength: 600, size: "max" }),
        (values, pairs) => {
          const n = values.length;
          const row = new KernelRow(kernels, arena, logits, n, space);
          const plain = new PlainRow(values);
          row.view().set(values);
          const unique = new Map(pairs.map(([id, count]) => [id % n, count]));
          const [ids, counts] = [[...unique.keys()], [...unique.values()]];
          for (const one of [row, plain]) {
            one.add(ids, counts.map((count) => count / 4));
            one.penalize(ids, counts, { repetition: 1.5, frequency: 0.25, presence: 0.5 });
            one.scale(0.5);
          }
          row.view().forEach((x, id) => assertAlmostEquals(x, plain.view()[id], 1e-4));
          plain.view().set(row.view());
          assertEquals(row.argmax(), plain.argmax());
          for (const k of [1, Math.min(n, 20), Math.min(n, MAX_SURVIVORS)]) {
            assertEquals(row.top(k), plain.top(k));
          }
          assertAlmostEquals(row.logSumExp(), plain.logSumExp(), 1e-4);
          for (const one of [row, plain]) {
            one.mask.fill(0);
            for (const id of [0, ...ids]) one.mask[id >>> 5] |= 1 << (id & 31);
            one.keep();
          }
          assertEquals(row.view(), plain.view());
        },
      ),
      { numRuns: 60 },
    );
  });
}
