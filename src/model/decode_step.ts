/**
 * A token of one text, or one each of several in one pass through the weights. Nothing here allocates for a token.
 *
 * @module
 */
import { asKernelError } from "../kernels/kernels.ts";
import type { Floats } from "../memory/handles.ts";
import { attention, embed, feedForward, outputLogits } from "./forward.ts";
import type { RunningText } from "./running_text.ts";
import type { Shared } from "./shared.ts";

/** Reads an id as the next token of a text. */
export function decodeToken(text: RunningText, id: number): void {
  try {
    bring(text, 0, id);
    pass(text.shared, 1, text.plan.logits);
    text.closeStep();
  } catch (error) {
    throw asKernelError(error);
  }
}

/** Reads the i-th id as the next token of the i-th text; the texts are different ones of one model. */
export function decodeTokens(texts: readonly RunningText[], ids: readonly number[]): void {
  if (texts.length === 1) return decodeToken(texts[0], ids[0]);
  const { shared } = texts[0];
  const { stepLogits, arena, network: { hparams: { nVocab } } } = shared;
  try {
    for (let i = 0; i < texts.length; i++) bring(texts[i], i, ids[i]);
    pass(shared, texts.length, stepLogits);
    for (const text of texts) text.closeStep();
  } catch (error) {
    throw asKernelError(error);
  }
  for (let i = 0; i < texts.length; i++) {
    const start = stepLogits.offset + 4 * i * nVocab;
    arena.bytes.copyWithin(texts[i].plan.logits.offset, start, start + 4 * nVocab);
  }
}

/** Puts a token of a text into the i-th row of the step. */
function bring(text: RunningText, i: number, id: number): void {
  const { step, stepParts } = text.shared;
  step.ids[i] = id;
  step.positions[i] = text.position;
  stepParts[i] = text.stepParts[i];
  text.openStep();
}

/** Takes the first `n` rows of the step through all layers: logits [n, V]. */
function pass({ network, step: { workspace }, stepParts }: Shared, n: number, logits: Floats): void {
  // Those of a step before, of more texts.
  stepParts.length = n;
  embed(network, workspace, n);
  for (let layer = 0; layer < network.hparams.nLayers; layer++) {
    attention(network, workspace, layer, n, stepParts);
    feedForward(network, workspace, layer, n);
  }
  outputLogits(network, workspace, 0, n, logits);
}
