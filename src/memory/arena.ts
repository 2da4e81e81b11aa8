/**
 * Views of the one memory. Made after it has grown to the plan's size, so they stay valid for good.
 *
 * @module
 */
import type { Floats, Words } from "./handles.ts";
import { GUARD_BYTES, type MemoryPlan, type Region } from "./plan.ts";

const GUARD_BYTE = 0xA5;

/** The memory of one model, laid out as its plan says. */
export class Arena {
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** Takes memory of the plan's size and writes the guards. */
  constructor(buffer: ArrayBuffer, readonly plan: MemoryPlan) {
    this.bytes = new Uint8Array(buffer);
    for (const region of this.#guarded()) this.#guard(region).fill(GUARD_BYTE);
  }

  /** A view of `handle`, `[handle.length]`. */
  floats(handle: Floats): Float32Array<ArrayBuffer> {
    return new Float32Array(this.bytes.buffer, handle.offset, handle.length);
  }

  /** A view of `handle`, `[handle.length]`. */
  words(handle: Words): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.bytes.buffer, handle.offset, handle.length);
  }

  /** A view of the region called `name`, without its guard. */
  region(name: string): Uint8Array<ArrayBuffer> {
    const { offset, bytes } = this.plan.regions.find((region) => region.name === name)!;
    return this.bytes.subarray(offset, offset + bytes - GUARD_BYTES);
  }

  /** Names of the regions behind whose end something was written. */
  brokenGuards(): string[] {
    return this.#guarded()
      .filter((region) => this.#guard(region).some((byte) => byte !== GUARD_BYTE))
      .map((region) => region.name);
  }

  #guarded(): Region[] {
    return this.plan.regions.filter(({ name }) => name !== "reserved" && name !== "padding");
  }

  #guard({ offset, bytes }: Region): Uint8Array {
    return this.bytes.subarray(offset + bytes - GUARD_BYTES, offset + bytes);
  }
}
