/**
 * Counts the bytes of buffers that code asks for while it runs, freed or not.
 *
 * @module
 */
const NAMES = [
  "ArrayBuffer",
  "Uint8Array",
  "Int8Array",
  "Uint16Array",
  "Int16Array",
  "Uint32Array",
  "Int32Array",
  "Float32Array",
  "Float64Array",
  "BigUint64Array",
  "BigInt64Array",
] as const;

/** Runs `work` and adds up its allocations: every new buffer, and every buffer's growth by `transfer`. */
export async function countAllocations<T>(work: () => Promise<T>): Promise<{ result: T; bytes: number }> {
  let bytes = 0;
  const scope = globalThis as unknown as Record<string, unknown>;
  const originals = NAMES.map((name) => scope[name] as new (...args: unknown[]) => ArrayBuffer);
  const transfer = ArrayBuffer.prototype.transfer;
  const counted: ProxyHandler<new (...args: unknown[]) => ArrayBuffer> = {
    construct(target, args, newTarget) {
      const made = Reflect.construct(target, args, newTarget) as ArrayBuffer;
      const isView = args[0] instanceof originals[0] || args[0] instanceof SharedArrayBuffer;
      if (!isView) bytes += made.byteLength;
      return made;
    },
  };
  NAMES.forEach((name, i) => scope[name] = new Proxy(originals[i], counted));
  originals[0].prototype.transfer = function (this: ArrayBuffer, length?: number) {
    bytes += length ?? this.byteLength;
    return transfer.call(this, length);
  };
  try {
    return { result: await work(), bytes };
  } finally {
    NAMES.forEach((name, i) => scope[name] = originals[i]);
    originals[0].prototype.transfer = transfer;
  }
}
