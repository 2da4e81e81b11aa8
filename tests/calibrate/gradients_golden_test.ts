import { assert, assertEquals } from "@std/assert";
import { openGradients } from "../../src/calibrate/gradients/open.ts";
import { passWindow } from "../../src/calibrate/gradients/passes.ts";
import { calibrationModule } from "../../src/runtime/calibration_module.ts";
import { ARCH_CASES, archSource } from "../golden/arch.ts";
import { goldenFloats, goldenJson, largestDifference } from "../golden/golden.ts";

interface Gradients {
  readonly positions: number[];
  readonly losses: Record<string, number>;
}

/** Largest difference, by the root mean square of a model's gradients; 3e-5 is measured. */
const TOLERANCE = 2e-4;

const { positions, losses } = await goldenJson<Gradients>("arch/gradients.json");

for (const golden of ARCH_CASES) {
  const { name, ids } = golden;
  Deno.test(`${name}: gradients of keys and values are those of PyTorch`, async () => {
    const gradients = await goldenFloats(`arch/${name}.gradients`);
    const model = await openGradients(await archSource(golden), {
      kernels: calibrationModule,
      channels: 4,
      window: ids.length,
    });
    const { space: { trace: { dk, dv } }, net: { kernels, hparams } } = model;
    const { nKvHeads, headDim, valueDim } = hparams;
    const rms = Math.sqrt(gradients.reduce((sum, x) => sum + x * x, 0) / gradients.length);
    const rowBytes = [4 * nKvHeads * headDim, 4 * nKvHeads * valueDim];
    const layerFloats = positions.length * (rowBytes[0] + rowBytes[1]) / 4;
    let worst = 0;
    const visit = (layer: number) => {
      const found = [dk, dv].flatMap(({ offset }, part) =>
        positions.flatMap((position) => [
          ...new Float32Array(kernels.buffer, offset + position * rowBytes[part], rowBytes[part] / 4),
        ])
      );
      const wanted = gradients.subarray(layer * layerFloats, (layer + 1) * layerFloats);
      worst = Math.max(worst, largestDifference(new Float32Array(found), wanted) / rms);
    };
    const loss = await passWindow(model, ids, true, { visit });
    assert(Math.abs(loss - losses[name]) < 1e-4 * losses[name], `loss is ${loss}, ${losses[name]} wanted`);
    assert(worst < TOLERANCE, `gradients differ by ${worst} of their root mean square`);
    assertEquals(model.brokenGuards(), []);
  });
}
