/**
 * A window of text through a model: forwards, and, where gradients are wanted, back.
 *
 * @module
 */
import { embed, feedForward } from "../../model/forward.ts";
import { pause } from "../../turn.ts";
import { Backward } from "./backward.ts";
import { copyFloats } from "./floats.ts";
import type { GradientModel } from "./open.ts";
import { WindowStorage } from "./window_storage.ts";

/** What a caller sees of a window, layer by layer. */
export interface PassVisitor {
  /** Aborting it rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Called when a layer has been passed in one direction. */
  readonly passed?: () => void;
  /**
   * Called with each layer's keys and values in the space: on the way back with their gradients, else in text order with
   * `trace.mass` alone.
   */
  readonly visit: (layer: number) => void;
}

/**
 * Passes tokens through a model.
 *
 * @param ids As many as a window has.
 * @param gradients Whether to go back too.
 * @returns The cross-entropy of all tokens but the first, summed; 0 where nothing goes back.
 */
export async function passWindow(
  { net, space, window }: GradientModel,
  ids: readonly number[],
  gradients: boolean,
  { signal, passed, visit }: PassVisitor,
): Promise<number> {
  const { kernels, hparams: { nLayers, dim, windows } } = net;
  const { workspace, hidden, trace } = space;
  const backward = new Backward(net, space, new WindowStorage(net, space));
  const finish = async <R>(steps: Iterator<void, R>): Promise<R> => {
    for (let step = steps.next();; step = steps.next()) {
      if (step.done) return step.value;
      await pause(signal);
    }
  };
  new Uint32Array(kernels.buffer, workspace.ids.offset, window).set(ids);
  embed(net, workspace, window);
  for (let layer = 0; layer < nLayers; layer++) {
    if (gradients) copyFloats(kernels.buffer, hidden[layer], workspace.x, window * dim);
    backward.attention(layer);
    await pause(signal);
    if (!gradients) {
      copyFloats(kernels.buffer, trace.dAttended, trace.attended, trace.attended.length);
      kernels.gradient.attend(trace, net.hparams, net.slopes, window, windows[layer]);
      visit(layer);
      await pause(signal);
    }
    feedForward(net, workspace, layer, window);
    passed?.();
    await pause(signal);
  }
  if (!gradients) return 0;
  const loss = await finish(backward.output(ids));
  for (let layer = nLayers - 1; layer >= 0; layer--) {
    await finish(backward.layer(layer, () => visit(layer)));
    passed?.();
  }
  return loss;
}
