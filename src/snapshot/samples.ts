/**
 * The pieces of a tensor that tell it from one of another model, such as a fine-tune of the same shape.
 *
 * @module
 */

/** Pieces of each tensor that are looked at. */
const SAMPLES = 8;

/** Bytes of a piece, of tensors that have as many. */
export const SAMPLE_BYTES = 32;

/** A run of a tensor's bytes. */
export interface Sample {
  readonly start: number;
  readonly end: number;
}

/** The samples of a tensor of so many bytes, evenly spread; of a small one they overlap. */
export function samplesOf(bytes: number): Sample[] {
  const size = Math.min(SAMPLE_BYTES, bytes);
  return Array.from({ length: SAMPLES }, (_, i) => {
    const start = Math.floor((bytes - size) * i / (SAMPLES - 1));
    return { start, end: start + size };
  });
}
