/**
 * Keys and values of a text, as they come from the weights, and what each of them counts.
 *
 * @module
 */
import { OptionError } from "../error.ts";
import type { Floats } from "../memory/handles.ts";
import type { GradientModel } from "./gradients/open.ts";
import { type PassVisitor, passWindow } from "./gradients/passes.ts";

/**
 * What a key or value counts: `fisher`, each group of its channels by the squared gradient of the loss (arXiv 2405.03917
 * §3.3); `attention`, the attention that its token gets; `none`, all alike.
 */
export type WeightKind = "fisher" | "attention" | "none";

/** Keys or values of one layer. */
export interface Points {
  readonly dim: number;
  /** `[G, n, dim]` */
  readonly points: Float32Array;
  /** `[G, n, weightGroups]` */
  readonly weights: Float32Array;
  readonly weightGroups: number;
}

/** Keys and values of all layers. */
export interface Collected {
  readonly layers: readonly (readonly Points[])[];
  /** Tokens. */
  readonly n: number;
  /** Of all tokens but each window's first, in nats a token; NaN where no gradients were asked for. */
  readonly loss: number;
}

/**
 * Passes as many windows of a text through the model as it has, and `tokens` allow.
 *
 * @throws {OptionError} When there is not one.
 */
export async function collect(
  model: GradientModel,
  text: string,
  tokens: number,
  channels: number,
  kind: WeightKind,
  { signal, onWindows, passed }: Pick<PassVisitor, "signal" | "passed"> & { onWindows: (n: number) => void },
): Promise<Collected> {
  const { net: { kernels, hparams }, space, tokenizer, window } = model;
  const { nLayers, nKvHeads, headDim, valueDim } = hparams;
  const ids = tokenizer.encode(text, { addSpecial: false });
  const windows = Math.floor(Math.min(tokens, ids.length) / window);
  if (windows === 0) throw new OptionError("text", `${ids.length} tokens`, `at least a window of ${window}`);
  onWindows(windows);
  const n = windows * window;
  const layers = Array.from({ length: nLayers }, () =>
    [headDim, valueDim].map((dim): Points => {
      const weightGroups = kind === "fisher" ? dim / channels : 1;
      return {
        dim,
        weightGroups,
        points: new Float32Array(nKvHeads * n * dim),
        weights: new Float32Array(nKvHeads * n * weightGroups).fill(1),
      };
    }));
  const view = ({ offset, length }: Floats) => new Float32Array(kernels.buffer, offset, length);
  const { keys, importance, workspace, trace } = space;
  let loss = 0;
  for (let w = 0; w < windows; w++) {
    const visit = (layer: number) => {
      for (const [i, part] of layers[layer].entries()) {
        copyRows(part.points, view(i === 0 ? keys : workspace.v), part.dim, nKvHeads, n, w * window, window);
        if (kind === "none") continue;
        const gradients = i === 0 ? trace.dk : trace.dv;
        if (kind === "fisher") {
          kernels.gradient.squareGroups(importance, gradients, window, nKvHeads, part.dim, channels);
        }
        const weights = view(kind === "fisher" ? importance : trace.mass);
        const length = window * part.weightGroups;
        for (let head = 0; head < nKvHeads; head++) {
          const of = weights.subarray(head * length, (head + 1) * length);
          part.weights.set(of, (head * n + w * window) * part.weightGroups);
        }
      }
    };
    const part = ids.slice(w * window, (w + 1) * window);
    loss += await passWindow(model, part, kind === "fisher", { signal, passed, visit });
  }
  return { layers, n, loss: kind === "fisher" ? loss / (windows * (window - 1)) : NaN };
}

/** Rows `[tokens, heads, dim]` behind the `at` tokens that `points` `[heads, n, dim]` has. */
function copyRows(
  points: Float32Array,
  rows: Float32Array,
  dim: number,
  heads: number,
  n: number,
  at: number,
  tokens: number,
): void {
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < heads; head++) {
      const start = (token * heads + head) * dim;
      points.set(rows.subarray(start, start + dim), (head * n + at + token) * dim);
    }
  }
}
