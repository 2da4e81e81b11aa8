import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { calibrate } from "../../src/calibrate/calibrate.ts";
import { Backward } from "../../src/calibrate/gradients/backward.ts";
import { type GradientModel, openGradients } from "../../src/calibrate/gradients/open.ts";
import { passWindow } from "../../src/calibrate/gradients/passes.ts";
import { WindowStorage } from "../../src/calibrate/gradients/window_storage.ts";
import type { AttentionDesk } from "../../src/cache/storage.ts";
import { MemoryBudgetError, OptionError } from "../../src/error.ts";
import { embed, feedForward } from "../../src/model/forward.ts";
import { calibrationModule } from "../../src/runtime/calibration_module.ts";
import { openSource } from "../../src/runtime/open_source.ts";
import { BUNDLED, LONG_TEXT } from "../generate/bundled.ts";
import { GgmlType } from "../../src/gguf/mod.ts";
import type { WriteTensor } from "../gguf/writer.ts";
import { ARCH_CASES, archSource } from "../golden/arch.ts";
import { noise, TINY, tinyModel } from "../model/tiny_model.ts";

/** A push of all keys, or values, of one layer along some direction. */
interface Push {
  readonly layer: number;
  readonly part: "k" | "v";
  readonly direction: Float32Array;
  readonly step: number;
}

/** Pushes what it stores. */
class PushedStorage extends WindowStorage {
  constructor(private readonly model: GradientModel, private readonly push: Push) {
    super(model.net, model.space);
  }

  override append(layer: number, desk: AttentionDesk, n: number): void {
    if (layer === this.push.layer) {
      const { offset, length } = desk[this.push.part];
      const numbers = new Float32Array(this.model.net.kernels.buffer, offset, length);
      numbers.forEach((x, i) => numbers[i] = x + this.push.step * this.push.direction[i]);
    }
    super.append(layer, desk, n);
  }
}

/** The loss of a window under a push. */
function pushedLoss(model: GradientModel, ids: readonly number[], push: Push): number {
  const { net, space: { workspace }, window } = model;
  new Uint32Array(net.kernels.buffer, workspace.ids.offset, window).set(ids);
  const backward = new Backward(net, model.space, new PushedStorage(model, push));
  embed(net, workspace, window);
  for (let layer = 0; layer < net.hparams.nLayers; layer++) {
    backward.attention(layer);
    feedForward(net, workspace, layer, window);
  }
  const steps = backward.output(ids);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Along a direction: the gradient's slope, and the loss's over a step of some size. */
async function slopes(model: GradientModel, ids: readonly number[], push: Push): Promise<[number, number]> {
  const { net: { kernels }, space: { trace: { dk, dv } } } = model;
  let slope = 0;
  const visit = (layer: number) => {
    if (layer !== push.layer) return;
    const { offset, length } = push.part === "k" ? dk : dv;
    new Float32Array(kernels.buffer, offset, length).forEach((g, i) => slope += g * push.direction[i]);
  };
  await passWindow(model, ids, true, { visit });
  const at = (sign: number) => pushedLoss(model, ids, { ...push, step: sign * push.step });
  return [slope, (at(1) - at(-1)) / (2 * push.step)];
}

/** Models of tests/golden/arch/ that have between them all that a layer can have but a limit, where the loss has kinks. */
const NAMES = ["qwen3", "gemma2", "gptneox", "falcon-7b", "mpt-6-heads"];

for (const name of NAMES) {
  Deno.test(`${name}: the loss changes along any direction of keys or values as the gradient says`, async () => {
    const golden = ARCH_CASES.find((golden) => golden.name === name)!;
    const { ids } = golden;
    const model = await openGradients(await archSource(golden), {
      kernels: calibrationModule,
      channels: 4,
      window: ids.length,
    });
    const { nLayers } = model.net.hparams;
    const pushes = fc.record({
      layer: fc.nat(nLayers - 1),
      part: fc.constantFrom("k" as const, "v" as const),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(pushes, async ({ layer, part, seed }) => {
        const { length } = model.space.trace[part];
        const direction = Float32Array.from({ length }, noise(seed));
        const [gradient, loss] = await slopes(model, ids, { layer, part, direction, step: 2e-3 });
        // Slopes along such directions are some units; what the loss rounds away is some hundredths.
        assert(Math.abs(gradient - loss) < 0.05 + 0.01 * Math.abs(loss), `${gradient}, by the loss ${loss}`);
      }),
      { numRuns: 12 },
    );
  });
}

/** A matrix as Q8_0 blocks whose scales are powers of two, and as the floats that they stand for. */
function inBlocks({ name, shape, data }: WriteTensor): [WriteTensor, WriteTensor] {
  const values = new Float32Array(data!.buffer);
  const blocks = new DataView(new ArrayBuffer(values.length / 32 * 34));
  for (let block = 0; block * 32 < values.length; block++) {
    const of = values.subarray(block * 32, block * 32 + 32);
    const exponent = Math.ceil(Math.log2(Math.max(...of.map(Math.abs)) / 127));
    blocks.setUint16(block * 34, exponent + 15 << 10, true);
    for (const [i, value] of of.entries()) {
      const code = Math.round(value / 2 ** exponent);
      blocks.setInt8(block * 34 + 2 + i, code);
      of[i] = code * 2 ** exponent;
    }
  }
  return [{ name, shape, type: GgmlType.Q8_0, data: new Uint8Array(blocks.buffer) }, {
    name,
    shape,
    type: GgmlType.F32,
    data: new Uint8Array(values.buffer),
  }];
}

Deno.test("quantised weights give the gradients of the floats that they stand for", async () => {
  const ids = Array.from({ length: 100 }, (_, i) => 3 + i * i * 7 % (TINY.nVocab - 3));
  const [quantised, exact] = await Promise.all([0, 1].map(async (i) => {
    const bytes = tinyModel({
      tensors: (all) => all.map((tensor) => tensor.shape.length === 1 ? tensor : inBlocks(tensor)[i]),
    });
    const options = { kernels: calibrationModule, channels: 4, window: ids.length };
    const model = await openGradients(openSource(bytes), options);
    const { net: { kernels }, space: { trace: { dk, dv } } } = model;
    const gradients: number[] = [];
    const visit = () => {
      for (const { offset, length } of [dk, dv]) {
        gradients.push(...new Float32Array(kernels.buffer, offset, length));
      }
    };
    await passWindow(model, ids, true, { visit });
    assertEquals(model.brokenGuards(), []);
    return gradients;
  }));
  const apart = Math.hypot(...quantised.map((x, i) => x - exact[i])) / Math.hypot(...exact);
  // Activations are rounded to 8 bits on the way.
  assert(apart > 0 && apart < 0.06, `apart by ${apart} of their size`);
});

Deno.test("calibrate refuses what it can't do, and stops when it is told to", async () => {
  const source = openSource(BUNDLED);
  const options = { kernels: calibrationModule, window: 128, tokens: 256 };
  const refused = (more: object, error: new (...args: never[]) => Error, text: string) =>
    assertRejects(() => calibrate(source, LONG_TEXT, { ...options, ...more }), error, text);
  await refused({ channels: 3 }, OptionError, "channels");
  await refused({ weights: "hessian" }, OptionError, "fisher, attention, none");
  await refused({ window: 1 << 20 }, OptionError, "context");
  await refused({ tokens: 128 }, OptionError, "256");
  await refused({ maxBytes: 4e6 }, MemoryBudgetError, "gradients");
  const stop = new AbortController();
  const progress: number[] = [];
  const onProgress = ({ done, total }: { done: number; total: number }) => {
    progress.push(done / total);
    if (done > 3) stop.abort(new Error("enough"));
  };
  await refused({ signal: stop.signal, onProgress }, Error, "enough");
  assert(progress.every((share, i) => share <= 1 && (i === 0 || share >= progress[i - 1])));
});

Deno.test("attention that tokens get adds up to that which is given", async () => {
  const window = 64;
  const model = await openGradients(openSource(BUNDLED), { kernels: calibrationModule, channels: 4, window });
  const { net: { kernels, hparams: { nHeads, nKvHeads } }, space: { trace: { mass } } } = model;
  const visit = () => {
    const numbers = new Float32Array(kernels.buffer, mass.offset, mass.length);
    for (let head = 0; head < nKvHeads; head++) {
      const sum = numbers.subarray(head * window, (head + 1) * window).reduce((a, b) => a + b);
      assertAlmostEquals(sum, window * nHeads / nKvHeads, 1e-3);
    }
  };
  await passWindow(model, model.tokenizer.encode(LONG_TEXT).slice(0, window), false, { visit });
});
