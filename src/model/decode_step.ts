/**
 * One token each of several texts, in one pass through the weights.
 *
 * @module
 */
import { asKernelError } from "../kernels/kernels.ts";
import { attention, embed, feedForward, outputLogits } from "./forward.ts";
import type { RunningText } from "./running_text.ts";

/** Reads the i-th id as the next token of the i-th text; the texts are different ones of one model. */
export function decodeStep(texts: readonly RunningText[], ids: readonly number[]): void {
  const n = texts.length;
  const { network, step: { workspace, ids: given, positions }, stepLogits, arena } = texts[0].shared;
  texts.forEach((text, i) => {
    given[i] = ids[i];
    positions[i] = text.position;
    text.openStep();
  });
  const parts = texts.map((text, i) => text.stepParts[i]);
  try {
    embed(network, workspace, n);
    for (let layer = 0; layer < network.hparams.nLayers; layer++) {
      attention(network, workspace, layer, n, parts);
      feedForward(network, workspace, layer, n);
    }
    outputLogits(network, workspace, 0, n, n === 1 ? texts[0].plan.logits : stepLogits);
    for (const text of texts) text.closeStep();
  } catch (error) {
    throw asKernelError(error);
  }
  if (n === 1) return;
  const rowBytes = 4 * network.hparams.nVocab;
  texts.forEach(({ plan }, i) => {
    const start = stepLogits.offset + i * rowBytes;
    arena.bytes.copyWithin(plan.logits.offset, start, start + rowBytes);
  });
}
