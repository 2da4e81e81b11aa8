import type { Kernels } from "../../kernels/kernels.ts";
import { SLOT_GROUP } from "../../kernels/sizes.ts";
import type { LayerCache, Layout, Words } from "../../memory/handles.ts";

/** Lays out the set of slots to be read: one, since a layer is done with it before the next begins. */
export function layActive(layers: readonly LayerCache[], layout: Layout): Words {
  return layout.words(
    Math.max(...layers.map(({ nKvHeads, capacity }) => nKvHeads * capacity)) / SLOT_GROUP,
  );
}

/** The set of slots that layers share. Whoever narrows it says so. */
export class ActiveSlots {
  readonly #bits: Uint32Array;
  #all = false;

  constructor(kernels: Kernels, { offset, length }: Words) {
    this.#bits = new Uint32Array(kernels.buffer, offset, length);
  }

  /** Every slot is read. */
  widen(): void {
    if (!this.#all) this.#bits.fill(0xffffffff);
    this.#all = true;
  }

  /** A kernel is about to choose. */
  narrow(): void {
    this.#all = false;
  }
}
