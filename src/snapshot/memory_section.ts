import { SnapshotError } from "../error.ts";
import { bytesOf, type Section, type SequenceState, type UsedSlots } from "./section.ts";

/** Where a piece of memory lies. */
export interface Span {
  readonly offset: number;
  readonly bytes: number;
}

/**
 * A section that is copied from memory and back as it is. What it restores is not looked at: any bytes have to be
 * harmless there.
 *
 * @param spans Its pieces for a cache that uses these slots; their number and sizes follow from `used` alone.
 */
export function memorySection(
  name: string,
  spans: (state: SequenceState, used: UsedSlots) => Iterable<Span>,
): Section {
  const views = (state: SequenceState, used: UsedSlots) =>
    Array.from(spans(state, used), ({ offset, bytes }) => state.memory.subarray(offset, offset + bytes));
  return {
    name,
    save: views,
    open(state, used, bytes) {
      const targets = views(state, used);
      const wanted = bytesOf(targets);
      if (bytes !== wanted) throw new SnapshotError(`size of section ${name}`, bytes, `${wanted} bytes`);
      return { targets, direct: true };
    },
  };
}
