/**
 * What reading a prompt can be for: the logits that follow it, its loss, its meaning, an index of it.
 *
 * @module
 */
import type { PrefixIndex } from "../cache/storage.ts";
import { pause } from "../turn.ts";
import { addHidden, outputLogits } from "./forward.ts";
import type { PrefillOptions, RunningText } from "./running_text.ts";

export type { PrefillOptions };

/** Reads `ids` and leaves the logits of what follows the last. */
export async function prefill(
  text: RunningText,
  ids: readonly number[],
  options: PrefillOptions,
): Promise<void> {
  const { network, prompt: { workspace } } = text.shared;
  await text.read(ids, options, (start, n) => {
    if (start + n === ids.length) outputLogits(network, workspace, n - 1, 1, text.plan.logits);
  });
  text.logitsAt = text.position;
}

/** Reads `ids` and sums the negative log-likelihood, in nats, of each but the first. */
export async function score(
  text: RunningText,
  ids: readonly number[],
  signal: AbortSignal | undefined,
): Promise<{ nll: number; tokens: number }> {
  const { outputRows, network, prompt: { workspace } } = text.shared;
  const { kernels, hparams: { nVocab } } = network;
  const { logits } = text.plan;
  let nll = 0;
  await text.read(ids, { signal }, async (start, n) => {
    // The last token of all has no successor to be scored.
    const nScored = Math.min(n, ids.length - 1 - start);
    for (let row = 0; row < nScored; row += outputRows) {
      const nRows = Math.min(outputRows, nScored - row);
      outputLogits(network, workspace, row, nRows, logits);
      for (let i = 0; i < nRows; i++) {
        const target = ids[start + row + i + 1];
        nll += kernels.logits.logSumExp(logits, nVocab, i) - kernels.logits.read(logits, i * nVocab + target);
      }
      await pause(signal);
    }
  });
  return { nll, tokens: ids.length - 1 };
}

/** Reads `ids`; the mean of their final hidden states, brought to length 1, `[D]`. */
export async function meaning(
  text: RunningText,
  ids: readonly number[],
  options: PrefillOptions,
): Promise<Float32Array> {
  const { arena, network, embedding, prompt: { workspace } } = text.shared;
  const sum = arena.floats(embedding);
  let vector = sum;
  await text.read(ids, options, (start, n) => {
    if (start === 0) sum.fill(0);
    addHidden(network, workspace, n, embedding);
    if (start + n === ids.length) {
      network.kernels.l2Normalize(embedding);
      // before another text takes the room
      vector = sum.slice();
    }
  });
  return vector;
}

/** Reads `ids`, all but the window before their index is made: the queries of the window calibrate it. */
export async function squeeze(
  text: RunningText,
  index: PrefixIndex,
  ids: readonly number[],
  { signal, onProgress }: PrefillOptions,
): Promise<void> {
  const { length } = ids;
  const head = length - index.window;
  const report = (done: number) => onProgress?.({ done, total: 2 * length });
  await prefill(text, ids.slice(0, head), { signal, onProgress: ({ done }) => report(done) });
  for (const done of index.cluster(length)) {
    report(head + done * length);
    await pause(signal);
  }
  await prefill(text, ids.slice(head), { signal, onProgress: ({ done }) => report(head + length + done) });
  index.calibrate();
}
