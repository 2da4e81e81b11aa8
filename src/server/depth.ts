import { ApiError } from "./api_error.ts";

/** Arrays and objects within each other; what comes after a request's reading may recurse so deep. */
const MOST_DEPTH = 128;

/** @throws {ApiError} 400 when a value is nested deeper than anything that means something. */
export function checkDepth(value: unknown): void {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_DEPTH) {
      throw new ApiError(400, `The body is nested deeper than ${MOST_DEPTH}`, "invalid_value");
    }
    level = level.flatMap((value) => typeof value === "object" && value !== null ? Object.values(value) : []);
  }
}
