/**
 * Learns codebooks of a model's keys and values from a text, for coupled quantization: the text passes through the model
 * in windows, forwards and back; keys and values are kept as they come from the weights, with the squared gradient of the
 * loss with respect to each group of channels; then every group of every KV head gets its centres by k-means, in which
 * points count as much as that. Source: arXiv 2405.03917 §3.3.
 *
 * @module
 */
import type { Calibration } from "../cache/calibration.ts";
import { OptionError } from "../error.ts";
import type { Source } from "../gguf/source.ts";
import { collect, type WeightKind } from "./collect.ts";
import { type GradientOptions, openGradients } from "./gradients/open.ts";
import { learn, STEPS } from "./learn.ts";

/** How to calibrate. */
export interface CalibrateOptions extends Omit<GradientOptions, "channels"> {
  /** Channels that share a code: 2, 4 or 8. Default 4. */
  readonly channels?: number;
  /** Bits of a code, 2 to 8. Default 8. */
  readonly bits?: number;
  /** Tokens of the text to learn from. Default 8,192. */
  readonly tokens?: number;
  /** What a key or value counts. Default `fisher`. */
  readonly weights?: WeightKind;
  /** Called as layers are passed and codebooks are learned. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

const TOKENS = 8192;

/**
 * Learns the codebooks of a model.
 *
 * @throws {OptionError} When an option is out of bounds, or the text has too few tokens for so many centres.
 * @throws {MemoryBudgetError} When model and gradients take more than `maxBytes`.
 */
export async function calibrate(
  source: Source,
  text: string,
  options: CalibrateOptions,
): Promise<Calibration & { readonly books: Uint16Array<ArrayBuffer> }> {
  const { channels = 4, bits = 8, tokens = TOKENS, weights = "fisher", kernels, signal, onProgress } =
    options;
  if (![2, 4, 8].includes(channels)) throw new OptionError("channels", channels, "2, 4 or 8");
  if (!(Number.isInteger(bits) && bits >= 2 && bits <= 8)) throw new OptionError("bits", bits, "2 to 8");
  if (!WEIGHTS.includes(weights)) throw new OptionError("weights", weights, WEIGHTS.join(", "));
  const centres = 2 ** bits;
  const model = await openGradients(source, { ...options, channels });
  const { net: { hparams }, fingerprints } = model;
  const { nLayers, nKvHeads, headDim, valueDim } = hparams;
  let [passes, passed] = [0, 0];
  const report = (learned: number) =>
    onProgress?.({ done: passed + learned, total: passes + 2 * nLayers * STEPS });
  const all = await collect(model, text, tokens, channels, weights, {
    signal,
    onWindows: (windows) => {
      const n = windows * model.window;
      if (n < centres) {
        throw new OptionError("text", `${n} tokens`, `at least ${centres}, one for each centre`);
      }
      passes = windows * nLayers * (weights === "fisher" ? 2 : 1);
    },
    passed: () => {
      passed++;
      report(0);
    },
  });
  const books = await learn(all, { nKvHeads, channels, centres }, kernels, signal, report);
  return { ...fingerprints, nLayers, nKvHeads, headDim, valueDim, channels, centres, books };
}

const WEIGHTS: readonly WeightKind[] = ["fisher", "attention", "none"];
