/**
 * Codebooks of all layers, from what has been collected.
 *
 * @module
 */
import { instantiateCalibration } from "./kernels/calibration_kernels.ts";
import { Arena } from "../memory/arena.ts";
import { Layout } from "../memory/handles.ts";
import { placeRegions, regionOffset } from "../memory/plan.ts";
import { dueTurn } from "../turn.ts";
import type { Collected } from "./collect.ts";
import type { CalibrationModule } from "./gradients/open.ts";
import { layTraining, trainBooks } from "./train_books.ts";

/** Steps that one layer's keys or values take: the start and ten rounds. */
export const STEPS = 11;

/** What codebooks are learned for. */
export interface BookShape {
  readonly nKvHeads: number;
  /** Channels that share a code. */
  readonly channels: number;
  readonly centres: number;
}

/**
 * Learns them, keys before values, as floats of 16 bits.
 *
 * @param onStep Called with the steps that are done, of `STEPS` for each layer's keys and values.
 */
export async function learn(
  { layers, n }: Collected,
  shape: BookShape,
  modules: CalibrationModule,
  signal: AbortSignal | undefined,
  onStep: (done: number) => void,
): Promise<Uint16Array<ArrayBuffer>> {
  // Keys and values use the same room, one after the other.
  const lay = (base: number) => {
    const layouts = layers[0].map(() => new Layout(base));
    const trainings = layers[0].map(({ dim, weightGroups }, i) =>
      layTraining({ ...shape, n, dim, weightGroups }, layouts[i])
    );
    const rest = layouts.reduce((a, b) => a.end > b.end ? a : b);
    const halves = rest.block(2 * Math.max(...trainings.map(({ books }) => books.length)));
    return { trainings, halves, end: rest.end };
  };
  const memory = placeRegions([{ name: "training", bytes: lay(0).end }]);
  const kernels = await instantiateCalibration(await modules(), memory.totalBytes);
  const arena = new Arena(kernels.buffer, memory);
  const { trainings, halves } = lay(regionOffset(memory, "training"));
  const lengths = trainings.map(({ books }) => books.length);
  const books = new Uint16Array(layers.length * lengths.reduce((a, b) => a + b));
  let [end, done] = [0, 0];
  for (const parts of layers) {
    for (const [i, { points, weights }] of parts.entries()) {
      const training = trainings[i];
      arena.floats(training.points).set(points);
      arena.floats(training.weights).set(weights);
      let step = 0;
      for (const _ of trainBooks(kernels, training, shape.centres)) {
        onStep(done + ++step);
        await dueTurn();
        signal?.throwIfAborted();
      }
      onStep(done += STEPS);
      kernels.book.halve(halves, training.books, lengths[i]);
      books.set(new Uint16Array(kernels.buffer, halves.offset, lengths[i]), end);
      end += lengths[i];
    }
  }
  return books;
}
