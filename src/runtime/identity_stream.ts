/**
 * Streams of workerd's own.
 *
 * @module
 */

/** Of workerd, which has it under this name only. */
interface WorkerGlobals {
  IdentityTransformStream: new () => TransformStream<Uint8Array, Uint8Array>;
}

/**
 * Bytes that go through as they are. Unlike a `TransformStream` of JavaScript, a write ends when its bytes have been read,
 * so that their buffer is free again, and fails as soon as the reader has gone.
 */
export function identityStream(): TransformStream<Uint8Array, Uint8Array> {
  return new (globalThis as unknown as WorkerGlobals).IdentityTransformStream();
}
