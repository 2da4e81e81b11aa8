import { KernelError } from "../error.ts";
import type { Binary } from "../kernels/load.ts";
import { reason } from "./range_file.ts";

/** A kernel binary that does not lie beside the code, as happens where a bundler has moved that alone. */
export function unreadable(binary: Binary, url: URL, cause: unknown): KernelError {
  const wanted = "the package's file there, or @locket/locket/manual, which is given it";
  return new KernelError(
    `${binary}.wasm can't be read from ${url}: ${reason(cause)}; wanted ${wanted}`,
    "load",
    {
      cause,
    },
  );
}
