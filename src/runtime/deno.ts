/**
 * Files as Deno opens them.
 *
 * @module
 */
import type { RangeHandle } from "./range_file.ts";

/** Bytes of a handle's only buffer. */
const BUFFER_BYTES = 2 ** 18;

/** Whether this is Deno. */
export function hasDenoFiles(): boolean {
  return "Deno" in globalThis;
}

/** Opens a file for reading; needs `--allow-read` for it. */
export async function openDenoFile(path: string | URL): Promise<RangeHandle> {
  const file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(BUFFER_BYTES);
  let position = 0;
  return {
    size: (await file.stat()).size,
    async read(offset, length) {
      if (offset !== position) await file.seek(offset, Deno.SeekMode.Start);
      const n = await file.read(buffer.subarray(0, length)) ?? 0;
      position = offset + n;
      return buffer.subarray(0, n);
    },
    close: () => file.close(),
  };
}
