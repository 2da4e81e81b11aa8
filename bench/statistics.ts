/** What benches make of many timings or losses. */

/** The value in the middle; of an even number the higher of the two. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Half the width of the 95 % interval of a mean. */
export function interval(values: readonly number[]): number {
  const m = mean(values);
  return 1.96 * Math.sqrt(mean(values.map((x) => (x - m) ** 2)) / Math.max(1, values.length - 1));
}
