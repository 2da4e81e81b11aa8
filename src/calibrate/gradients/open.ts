/**
 * From a source of bytes to a model whose windows of text can be passed through forwards and backwards.
 *
 * @module
 */
import { OptionError } from "../../error.ts";
import { type GgufModel, openModel } from "../../gguf/mod.ts";
import type { Source } from "../../gguf/source.ts";
import type { Hparams } from "../../hparams.ts";
import { instantiateCalibration } from "../kernels/calibration_kernels.ts";
import { Arena } from "../../memory/arena.ts";
import { type Floats, Layout } from "../../memory/handles.ts";
import { type MemoryPlan, placeRegions, regionOffset, RESERVED_BYTES } from "../../memory/plan.ts";
import { defaultContext, readHparams } from "../../model/arch/mod.ts";
import { writeTables } from "../../model/engine.ts";
import { headerFingerprint } from "../../model/header_fingerprint.ts";
import { TensorTable } from "../../model/tensor_table.ts";
import { WeightSamples } from "../../model/weight_samples.ts";
import { WeightSink } from "../../model/weight_sink.ts";
import { bindWeights, type Weights } from "../../model/weights.ts";
import { createTokenizer, planVocabulary, type Tokenizer } from "../../tokenizer/mod.ts";
import type { GradientNetwork } from "./backward.ts";
import { type GradientSpace, layGradients } from "./space.ts";

/** Where the binary `calibrate` comes from. */
export type CalibrationModule = () => Promise<WebAssembly.Module | BufferSource>;

/** How to open a model. */
export interface GradientOptions {
  readonly kernels: CalibrationModule;
  /** Budget for the memory, in bytes. */
  readonly maxBytes?: number;
  /** Aborting it rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Channels of a group. */
  readonly channels: number;
  /** Tokens of a window. Default: the model's context, at most 2,048. */
  readonly window?: number;
}

/** A model that is there. */
export interface GradientModel {
  readonly net: GradientNetwork;
  readonly space: GradientSpace;
  readonly tokenizer: Tokenizer;
  /** Tokens of a window. */
  readonly window: number;
  /** What tells it from others: by its header, and by its weights. */
  readonly fingerprints: { readonly model: string; readonly weights: string };
  /** Names of regions behind whose end something was written; none, unless a kernel is broken. */
  brokenGuards(): string[];
}

/** The place of everything. */
interface GradientPlan extends MemoryPlan {
  readonly hparams: Hparams;
  readonly weights: Weights;
  readonly window: number;
  /** Rotary frequencies of the model's one or two ropes, and ALiBi slopes `[H]`. */
  readonly frequencies: readonly Floats[];
  readonly slopes: Floats | null;
  readonly space: GradientSpace;
}

/** Tokens of a window at most, where nothing else is asked for. */
const WINDOW = 2048;

/** Plans the memory of a model and of both passes over a window. */
function planGradients(
  model: GgufModel,
  { window: wanted, channels, maxBytes }: Omit<GradientOptions, "kernels">,
): GradientPlan {
  const table = new TensorTable(model.tensors);
  const hparams = readHparams(model.metadata, table, wanted);
  const window = wanted ?? Math.min(WINDOW, defaultContext(hparams.nContext));
  if (!(Number.isInteger(window) && window >= 2 && window <= hparams.nContext)) {
    throw new OptionError("window", window, `2 to ${hparams.nContext} tokens, the model's context`);
  }
  for (const width of [hparams.headDim, hparams.valueDim]) {
    if (width % channels !== 0) {
      throw new OptionError("channels", channels, `a divisor of heads ${width} wide`);
    }
  }
  const weights = bindWeights(hparams, table, RESERVED_BYTES);
  const lay = (base: number) => {
    const layout = new Layout(base);
    const { rope, localRope, positions, nHeads } = hparams;
    const ropes = [rope, localRope].filter((rope) => rope !== undefined);
    const frequencies = ropes.map(({ dims }) => layout.floats(dims / 2));
    const slopes = positions === "alibi" ? layout.floats(nHeads) : null;
    return { frequencies, slopes, space: layGradients(hparams, weights, window, channels, layout), layout };
  };
  const plan = placeRegions([
    { name: "weights", bytes: weights.bytes },
    { name: "vocabulary", bytes: planVocabulary(model.metadata).bytes },
    { name: "gradients", bytes: lay(0).layout.bytes },
  ], maxBytes);
  const { frequencies, slopes, space } = lay(regionOffset(plan, "gradients"));
  return { ...plan, hparams, weights, window, frequencies, slopes, space };
}

/**
 * Loads a model to pass windows of text through it in both directions.
 *
 * @throws {GgufError | SourceError | KernelError} As `loadModel` does.
 * @throws {MemoryBudgetError} When model and window take more than `maxBytes`, or than 32-bit addresses reach.
 * @throws {UnsupportedModelError} When architecture, hyperparameters or tensors are not supported.
 * @throws {OptionError} When the window passes the model's context.
 */
export async function openGradients(source: Source, options: GradientOptions): Promise<GradientModel> {
  const { signal } = options;
  const file = await openModel(source, { signal });
  try {
    const plan = planGradients(file.model, options);
    const kernels = await instantiateCalibration(await options.kernels(), plan.totalBytes);
    const arena = new Arena(kernels.buffer, plan);
    const tokenizer = createTokenizer(file.model.metadata, arena.region("vocabulary"));
    const { hparams, weights, frequencies, slopes, space, window } = plan;
    const samples = new WeightSamples(new WeightSink(weights, arena.bytes, kernels, space.scratch));
    await file.streamTensors(samples, { signal });
    writeTables(plan, arena);
    const positions = arena.words(space.workspace.positions);
    for (let i = 0; i < window; i++) positions[i] = i;
    const net = { kernels, hparams, weights, frequencies, slopes, classes: null };
    [hparams.rope, hparams.localRope].forEach((rope, i) => {
      if (rope === undefined) return;
      kernels.ropeTable(
        space.backTables[i],
        space.workspace.positions,
        frequencies[i],
        window,
        rope.magnitude,
      );
      // Turning back is turning by opposite angles, whose sines are negative.
      arena.floats(space.backTables[i]).forEach((x, at, table) => table[at] = at % 2 === 0 ? x : -x);
    });
    return {
      net,
      space,
      tokenizer,
      window,
      fingerprints: { model: headerFingerprint(file.model), weights: samples.digest() },
      brokenGuards: () => arena.brokenGuards(),
    };
  } finally {
    file.close();
  }
}
