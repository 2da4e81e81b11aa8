/**
 * Codebooks by weighted k-means: the points' farthest-first start, then rounds until no point changes its centre.
 *
 * @module
 */
import type { BookTraining } from "./kernels/book_kernels.ts";
import type { CalibrationKernels } from "./kernels/calibration_kernels.ts";
import type { Layout } from "../memory/handles.ts";

/** Most rounds after the start. */
const ROUNDS = 10;

/** How many points of which form. */
export type TrainingShape = Pick<
  BookTraining,
  "nKvHeads" | "n" | "dim" | "channels" | "centres" | "weightGroups"
>;

/** Lays out what learning the codebooks of one layer's keys, or values, takes. */
export function layTraining(shape: TrainingShape, layout: Layout): BookTraining {
  const { nKvHeads, n, dim, channels, centres, weightGroups } = shape;
  const groups = nKvHeads * dim / channels;
  return {
    ...shape,
    books: layout.floats(nKvHeads * dim * centres),
    labels: layout.words(groups * n),
    points: layout.floats(nKvHeads * n * dim),
    weights: layout.floats(nKvHeads * n * weightGroups),
    distances: layout.floats(n),
  };
}

/**
 * Learns codebooks from the points and weights in their place.
 *
 * @param used Centres to learn of those that there is room for.
 * @returns After the start and after each round, the number of points that changed their centre.
 */
export function* trainBooks(
  kernels: CalibrationKernels,
  training: BookTraining,
  used: number,
): Generator<number> {
  const { offset, length } = training.labels;
  // No point has a centre yet.
  new Uint32Array(kernels.buffer, offset, length).fill(2 ** 32 - 1);
  kernels.book.seed(training, used);
  yield length;
  for (let round = 0; round < ROUNDS; round++) {
    const changed = kernels.book.round(training);
    yield changed;
    if (changed === 0) return;
  }
}
