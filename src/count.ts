/** Whether a value, such as one out of a file, is a whole number that fits 32 bits. */
export function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}
